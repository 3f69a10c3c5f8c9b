#include "clinux_terminal.h"

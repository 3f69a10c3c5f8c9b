#include "clinux_process.h"

#ifndef CLINUX_TERMINAL_H
#define CLINUX_TERMINAL_H

#include <sys/types.h>

#endif

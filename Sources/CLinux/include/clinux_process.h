#ifndef CLINUX_PROCESS_H
#define CLINUX_PROCESS_H

#include <sys/types.h>

#endif

#ifndef CLINUX_SOCKETS_H
#define CLINUX_SOCKETS_H

#include <sys/types.h>

#endif

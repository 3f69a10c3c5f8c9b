// What Swift cannot say to Linux. Public headers stay free of _GNU_SOURCE: it changes types that
// Swift's Glibc module has already seen. Each header tells one story, with its .c file beside it.
#ifndef CLINUX_H
#define CLINUX_H

#include "clinux_mount.h"
#include "clinux_process.h"
#include "clinux_readiness.h"
#include "clinux_reap.h"
#include "clinux_signals.h"
#include "clinux_sockets.h"
#include "clinux_spawn.h"
#include "clinux_terminal.h"
#include "clinux_vsock.h"

#endif

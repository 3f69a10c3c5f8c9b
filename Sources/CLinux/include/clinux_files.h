#ifndef CLINUX_FILES_H
#define CLINUX_FILES_H

#include <sys/types.h>

#endif

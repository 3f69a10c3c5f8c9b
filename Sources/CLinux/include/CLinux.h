#ifndef CLINUX_H
#define CLINUX_H
#include <sys/types.h>
int clinux_anchor(void);
#endif

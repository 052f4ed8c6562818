/* interrupt.h - SIGINT and SIGTERM: the first asks the work to finish its step and save, the second
 * kills the process.  Signals within a fifth of a second of the first count as the first. */
#ifndef FV_CLI_INTERRUPT_H
#define FV_CLI_INTERRUPT_H

#include <stdbool.h>

/* From now on signals are noted; a command that never asks should not install this. */
void fv_interrupt_install(void);

/* The signal that came, 0 if none. */
int fv_interrupt_signal(void);

/* For fv_report.stop; user is ignored. */
bool fv_interrupt_stop(void *user);

#endif

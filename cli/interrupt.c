#include "cli/interrupt.h"

#include <signal.h>
#include <stddef.h>
#include <time.h>

/* One request may arrive twice: timeout(1) and some supervisors signal the process and then its group.
 * What comes within this time of the first is the same request. */
#define SAME_REQUEST_NS 200000000

static volatile sig_atomic_t received;
static struct timespec first; /* written before received */

static void note(int number) {
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!received) {
        first = now;
        received = number;
        return;
    }
    const long long passed =
        (now.tv_sec - first.tv_sec) * 1000000000LL + (now.tv_nsec - first.tv_nsec);
    if (passed < SAME_REQUEST_NS) return;
    signal(number, SIG_DFL);
    raise(number); /* delivered when this handler returns */
}

void fv_interrupt_install(void) {
    struct sigaction action = {.sa_handler = note, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaddset(&action.sa_mask, SIGINT);
    sigaddset(&action.sa_mask, SIGTERM);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int fv_interrupt_signal(void) { return received; }

bool fv_interrupt_stop(void *user) {
    (void)user;
    return received != 0;
}

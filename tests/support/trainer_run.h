/* trainer_run.h - trainings of a tiny model on a tiny synthetic set in a folder of their own, for tests.
 *
 *     TestSuite(train_x, .init = run_enter, .fini = run_leave);
 *     OK(run_train(run_path("run"), OPTIONS("epochs=1", "lr=0.01")));
 *
 * What cannot be set up ends the program. */
#ifndef FV_TESTS_TRAINER_RUN_H
#define FV_TESTS_TRAINER_RUN_H

#include "tests/support/run_files.h"
#include "train/trainer.h"

/* Makes a folder with a data set in "data": three classes, 40 training and 12 validation images of 32
 * pixels. */
void run_enter(void);
void run_leave(void);
const char *run_folder(void);

/* A path in that folder; valid for the next eight calls. */
const char *run_path(const char *name);

/* What a test sees of a run: when to stop it, and whether to copy its folder ("snap0", "snap1" ...). */
typedef struct run_watch {
    int stop_after; /* updates of this process; 0 = never */
    bool snapshots; /* a copy of the run folder at every report */
    int n_steps, n_snapshots, n_lines;
    const char *out;
    fv_train_result result;
    char text[4096]; /* lines */
} run_watch;

/* Options as "key=value", NULL-terminated, over a run of two epochs of five updates of eight images, with
 * augmentation, stochastic depth and clipping; of a very small ViT unless they name a model. */
fv_status run_train_watched(run_watch *w, const char *out, const char *const options[]);
fv_status run_train(const char *out, const char *const options[]);

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

#define OK(status) cr_assert_eq((status), FV_OK, "%s", fv_error_message())

#define SAME_RUN(expected, actual, extra)                                     \
    do {                                                                      \
        const char *difference = run_difference((expected), (actual), extra); \
        cr_assert_null(difference, "%s", difference);                         \
    } while (0)

#define SAME_FILE(expected, actual)                                     \
    do {                                                                \
        const char *difference = run_file_difference(expected, actual); \
        cr_assert_null(difference, "%s", difference);                   \
    } while (0)

#endif

/* trainer_data.c - the data of a run, and what can be known to be wrong with it before the start. */
#include "data/data_info.h"
#include "data/dataset_settings.h"
#include "data/sample.h"
#include "data/sampler.h"
#include "train/trainer_internal.h"

#include <string.h>

/* Image headers read per split before training; damage elsewhere is found when it is met. */
#define PROBED_FILES 128

static fv_status same_classes(const fv_dataset *train, const fv_dataset *val) {
    const int64_t shared = train->n_classes < val->n_classes ? train->n_classes : val->n_classes;

    for (int64_t i = 0; i < shared; i++)
        if (strcmp(train->class_names[i], val->class_names[i]) != 0)
            return FV_FAIL(
                FV_ERR_FORMAT, "%s: class %lld is '%s' in the training split and '%s' in %s",
                train->root, (long long)i, train->class_names[i], val->class_names[i], val->split);
    if (train->n_classes == val->n_classes) return FV_OK;
    return FV_FAIL(FV_ERR_FORMAT, "%s: %lld classes in the training split, %lld in %s", train->root,
                   (long long)train->n_classes, (long long)val->n_classes, val->split);
}

/* Empty files cost nothing to find; some headers are read. */
static fv_status probe(const fv_dataset *set, int64_t max_bad) {
    fv_data_info info;
    int64_t n_empty = 0, first = -1;

    for (int64_t i = 0; i < set->n_samples; i++) {
        if (set->samples[i].n_bytes > 0) continue;
        if (n_empty++ == 0) first = i;
    }
    if (n_empty > max_bad)
        return FV_FAIL(FV_ERR_FORMAT, "%s is empty%s (--max-bad allows bad images)",
                       fv_sample_title(&set->samples[first]),
                       n_empty > 1 ? ", and it is not the only one" : "");
    FV_TRY(fv_data_info_compute(set, &(fv_data_info_options){.max_files = PROBED_FILES}, &info));
    fv_status status = FV_OK;
    if (info.n_bad > max_bad || (info.n_bad > 0 && info.n_bad == info.n_probed))
        status = FV_FAIL(FV_ERR_FORMAT, "%s (%lld of %lld files looked at are bad)", info.bad,
                         (long long)info.n_bad, (long long)info.n_probed);
    fv_data_info_free(&info);
    return status;
}

fv_status fv_trainer_open_data(fv_trainer *t) {
    const fv_settings *s = t->settings;

    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->train_split, FV_SPLIT_CHOSEN, &t->train));
    FV_TRY(fv_dataset_open_settings(s, s->data_dir, s->val_split, FV_SPLIT_WHOLE, &t->val));
    FV_TRY(same_classes(t->train, t->val));
    FV_TRY(probe(t->train, s->max_bad));
    FV_TRY(probe(t->val, s->max_bad));
    if (t->train->n_empty_classes)
        fv_report_warning(t->report, "%lld classes without a training image, the first is '%s'",
                          (long long)t->train->n_empty_classes, t->train->first_empty_class);
    t->effective_batch = s->batch_size * s->grad_accum_steps;
    t->updates_per_epoch = fv_sampler_updates(t->train->n_samples, t->effective_batch);
    if (t->updates_per_epoch == 0)
        return FV_FAIL(
            FV_ERR_CONFIG,
            "%s has %lld training images, fewer than one batch of %lld (--batch-size %lld "
            "x --grad-accum-steps %lld)",
            s->data_dir, (long long)t->train->n_samples, (long long)t->effective_batch,
            (long long)s->batch_size, (long long)s->grad_accum_steps);
    return FV_OK;
}

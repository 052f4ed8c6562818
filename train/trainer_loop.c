/* trainer_loop.c - epochs of updates. */
#include "core/clock.h"
#include "train/train_input.h"
#include "train/trainer_internal.h"

#include <math.h>
#include <stdio.h>

static fv_run_times times_since(const fv_trainer *t, double start, double wait, int64_t images) {
    const double seconds = fv_clock_seconds() - start;
    return (fv_run_times){.seconds = seconds,
                          .data_wait = fv_loader_wait_seconds(t->loader) - wait,
                          .images_per_second = seconds > 0.0 ? (double)images / seconds : 0.0};
}

/* ---- one update ---- */

static fv_status start_loader(fv_trainer *t) {
    const fv_loader_epoch epoch = {.epoch = (uint32_t)t->state.epoch,
                                   .order = t->order,
                                   .repeat = t->repeat,
                                   .n_order = t->train->n_samples,
                                   .first = t->state.sample_position,
                                   .group = t->effective_batch};
    return fv_loader_start(t->loader, &epoch);
}

/* Forward and backward over the effective batch; parameters stay as they are. */
static fv_status run_passes(fv_trainer *t, bool check_finite) {
    for (int64_t first = 0; first < t->effective_batch;) {
        const fv_batch *batch;
        FV_TRY(fv_loader_next(t->loader, &batch));
        if (!batch || batch->n < 1)
            return FV_FAIL(FV_ERR_INTERNAL, "the loader ended before the epoch");
        if (batch->n_bad && !check_finite) fv_report_warning(t->report, "%s", batch->bad);
        fv_stepper_pass pass = {.index = (uint32_t)t->state.step,
                                .first = first,
                                .n = batch->n,
                                .pixels = batch->pixels,
                                .check_finite = check_finite};
        fv_trainer_set_targets(t, batch, &pass);
        first += batch->n;
        const fv_status status = fv_stepper_run(t->stepper, &pass);
        fv_batch_release(t->loader, batch);
        if (status != FV_OK) return status;
    }
    return FV_OK;
}

/* The same batch again, looking at every op: the first bad one gives the message. */
static fv_status diagnose(fv_trainer *t) {
    char message[512];

    snprintf(message, sizeof message, "%s", fv_error_message());
    fv_status status = start_loader(t);
    if (status == FV_OK) status = run_passes(t, true);
    if (status != FV_ERR_NONFINITE) status = FV_FAIL(FV_ERR_NONFINITE, "%s", message);
    return status;
}

static int64_t schedule_time(const fv_trainer *t) {
    return t->settings->sched_on_updates ? t->state.step : t->state.epoch;
}

/* What --mem-limit has decided in the first pass. */
static void announce_recomputed(fv_trainer *t) {
    int64_t all;
    const int64_t n = fv_stepper_recomputed(t->stepper, &all);

    if (!t->settings->mem_limit[0] || t->settings->grad_checkpointing || n == t->recomputed) return;
    t->recomputed = n;
    fv_report_info(t->report, "memory  %lld of %lld blocks are computed again to stay within %s",
                   (long long)n, (long long)all, t->settings->mem_limit);
}

static fv_status update(fv_trainer *t, fv_stepper_result *result) {
    fv_run_state *s = &t->state;

    fv_status status = run_passes(t, false);
    if (status == FV_OK) status = fv_stepper_judge(t->stepper, result);
    if (status == FV_ERR_NONFINITE) status = diagnose(t);
    if (status != FV_OK) return fv_error_context(status, "step %lld", (long long)s->step + 1);
    s->lr = fv_schedule_lr(&t->schedule, schedule_time(t));
    fv_stepper_commit(t->stepper, s->lr, result);
    s->step++;
    s->epoch_update++;
    s->sample_position += t->effective_batch;
    s->loss_sum += result->loss_sum;
    s->grad_norm_sum += result->grad_norm;
    s->interval.loss_sum += result->loss;
    s->interval.grad_norm_sum += result->grad_norm;
    s->interval.updates++;
    t->epoch_images += t->effective_batch;
    t->interval_images += t->effective_batch;
    return FV_OK;
}

/* ---- reports ---- */

static double mean_loss(const fv_trainer *t) {
    const double n = (double)(t->state.epoch_update * t->effective_batch);
    return n > 0.0 ? t->state.loss_sum / n : (double)NAN;
}

static void report_update(const fv_trainer *t, const fv_stepper_result *result, bool due) {
    char label[48], note[128];

    snprintf(label, sizeof label, "Train: %lld", (long long)t->state.epoch);
    snprintf(note, sizeof note, "Loss: %.4f (%.4f)  LR: %.3e", result->loss, mean_loss(t),
             t->state.lr);
    const fv_run_times times = times_since(t, t->epoch_start, t->epoch_wait, t->epoch_images);
    fv_report_progress(t->report, &(fv_report_step){.label = label,
                                                    .done = t->state.epoch_update,
                                                    .total = t->updates_per_epoch,
                                                    .images = t->epoch_images,
                                                    .seconds = times.seconds,
                                                    .data_wait = times.data_wait,
                                                    .note = note,
                                                    .due = due});
}

static fv_status log_interval(fv_trainer *t) {
    const fv_run_times times =
        times_since(t, t->interval_start, t->interval_wait, t->interval_images);

    FV_TRY(fv_run_log_interval(&t->log, &t->state, &times));
    t->state.interval = (fv_interval){0};
    t->interval_start = fv_clock_seconds();
    t->interval_wait = fv_loader_wait_seconds(t->loader);
    t->interval_images = 0;
    return FV_OK;
}

/* ---- checkpoints ---- */

static fv_status save_step(fv_trainer *t) {
    t->state.summary_bytes = t->log.summary_bytes;
    t->state.log_bytes = t->log.log_bytes;
    return fv_trainer_save(
        t, (fv_trainer_checkpoint){.epoch = t->state.epoch, .step = t->state.step, .prune = true});
}

static fv_status interrupt(fv_trainer *t) {
    if (t->state.step != t->saved_step && t->state.step > 0) FV_TRY(save_step(t));
    if (t->state.step == 0) return FV_FAIL(FV_ERR_INTERRUPTED, "interrupted before the first step");
    return FV_FAIL(FV_ERR_INTERRUPTED,
                   "interrupted after step %lld; go on with --resume auto --out %s",
                   (long long)t->state.step, t->out);
}

/* ---- the end of an epoch ---- */

static fv_status evaluate_values(fv_trainer *t, const char *label, fv_evaluate_result *result) {
    const fv_evaluate_options options = {.bf16 = t->bf16,
                                         .report = t->report,
                                         .label = label,
                                         .log_interval = t->settings->log_interval};

    FV_TRY(fv_evaluator_run(t->evaluator, &options, result));
    fv_report_info(t->report, " * Acc@1 %.3f (%.3f) Acc@5 %.3f (%.3f)", result->top1,
                   100.0 - result->top1, result->top5, 100.0 - result->top5);
    return FV_OK;
}

/* The averaged weights take the place of the weights for a while. */
static fv_status evaluate_average(fv_trainer *t, fv_epoch_record *record) {
    fv_evaluate_result result;

    fv_ema_swap(t->ema);
    const fv_status status = evaluate_values(t, "Test (EMA)", &result);
    fv_ema_swap(t->ema);
    if (status != FV_OK) return status;
    record->averaged = true;
    record->ema_loss = result.loss;
    record->ema_top1 = result.top1;
    record->ema_top5 = result.top5;
    return FV_OK;
}

static fv_status evaluate(fv_trainer *t, fv_epoch_record *record) {
    fv_evaluate_result result;

    FV_TRY(evaluate_values(t, "Test", &result));
    if (result.n_bad)
        fv_report_warning(t->report, "%lld bad validation images left out",
                          (long long)result.n_bad);
    record->evaluated = true;
    record->eval_loss = result.loss;
    record->eval_top1 = result.top1;
    record->eval_top5 = result.top5;
    record->eval_count = result.count;
    return t->ema ? evaluate_average(t, record) : FV_OK;
}

static bool evaluation_due(const fv_trainer *t) {
    const int64_t interval = t->settings->val_interval, epoch = t->state.epoch + 1;
    return epoch == t->epochs || (interval > 0 && epoch % interval == 0);
}

static void set_result(fv_trainer *t, const fv_epoch_record *r, double images_per_second) {
    t->result = (fv_train_result){.epoch = r->epoch,
                                  .step = r->step,
                                  .train_loss = r->train_loss,
                                  .evaluated = r->evaluated,
                                  .eval_loss = r->eval_loss,
                                  .eval_top1 = r->eval_top1,
                                  .eval_top5 = r->eval_top5,
                                  .averaged = r->averaged,
                                  .eval_ema_loss = r->ema_loss,
                                  .eval_ema_top1 = r->ema_top1,
                                  .eval_ema_top5 = r->ema_top5,
                                  .images_per_second = images_per_second,
                                  .out = t->out};
}

static double score(const fv_epoch_record *r) { return r->averaged ? r->ema_top1 : r->eval_top1; }

static bool is_best(const fv_trainer *t, const fv_epoch_record *r) {
    return r->evaluated && (!t->state.best.exists || score(r) >= t->state.best.eval_top1);
}

/* The run stops at --max-steps where no row is due: it gets one all the same, but the state stays
 * that of mid-epoch, so that a longer run may go on as if it had never stopped. */
static fv_status save_final(fv_trainer *t, const fv_epoch_record *r, bool best,
                            const fv_run_state *before) {
    t->state = *before;
    t->state.final = (fv_final){.exists = true,
                                .record = *r,
                                .summary_bytes = t->log.summary_bytes,
                                .log_bytes = t->log.log_bytes};
    return fv_trainer_save(
        t, (fv_trainer_checkpoint){.epoch = t->state.epoch, .step = t->state.step, .best = best});
}

/* The state moves to the start of the next epoch. */
static fv_status save_epoch(fv_trainer *t, const fv_epoch_record *r, bool best) {
    fv_run_state *s = &t->state;

    FV_TRY(fv_run_state_record(s, r, &t->arena));
    if (best) {
        const char *name = fv_arena_printf(&t->arena, "checkpoint-%lld", (long long)r->epoch);
        if (!name) return FV_ERR_NOMEM;
        s->best = (fv_best){true, r->epoch, score(r), name};
    }
    s->epoch++;
    s->epoch_update = s->sample_position = 0;
    s->loss_sum = s->grad_norm_sum = 0.0;
    s->summary_bytes = t->log.summary_bytes;
    s->log_bytes = t->log.log_bytes;
    return fv_trainer_save(
        t, (fv_trainer_checkpoint){
               .epoch = r->epoch, .step = FV_CHECKPOINT_NO_STEP, .best = best, .prune = true});
}

static fv_status end_epoch(fv_trainer *t, const fv_run_times *times) {
    fv_run_state *s = &t->state;
    const bool complete = s->epoch_update == t->updates_per_epoch;
    const bool final = !complete || !(evaluation_due(t) || s->step < t->stop_step);
    const double n = (double)(s->epoch_update > 0 ? s->epoch_update : 1);
    fv_epoch_record record = {.epoch = s->epoch,
                              .step = s->step,
                              .train_loss = mean_loss(t),
                              .grad_norm = s->grad_norm_sum / n,
                              .lr = s->lr};

    s->summary_bytes = t->log.summary_bytes;
    s->log_bytes = t->log.log_bytes;
    const fv_run_state before = *s;
    if (final || evaluation_due(t)) FV_TRY(evaluate(t, &record));
    if (s->interval.updates > 0) FV_TRY(log_interval(t));
    FV_TRY(fv_run_log_epoch(&t->log, &record, fv_params_count(&t->model->params), times));
    const bool best = is_best(t, &record);
    set_result(t, &record, times->images_per_second);
    return final ? save_final(t, &record, best, &before) : save_epoch(t, &record, best);
}

/* ---- epochs ---- */

static fv_status begin_epoch(fv_trainer *t) {
    fv_train_order(t->settings, (uint32_t)t->state.epoch, t->effective_batch, t->train->n_samples,
                   t->order, t->repeat);
    t->epoch_start = t->interval_start = fv_clock_seconds();
    t->epoch_wait = t->interval_wait = fv_loader_wait_seconds(t->loader);
    t->epoch_images = t->interval_images = 0;
    const bool trains =
        t->state.epoch_update < t->updates_per_epoch && t->state.step < t->stop_step;
    return trains ? start_loader(t) : FV_OK;
}

static fv_status run_epoch(fv_trainer *t) {
    const fv_settings *settings = t->settings;
    fv_run_state *s = &t->state;

    FV_TRY(begin_epoch(t));
    while (s->epoch_update < t->updates_per_epoch && s->step < t->stop_step) {
        fv_stepper_result result;
        if (fv_report_stop(t->report)) return interrupt(t);
        FV_TRY(update(t, &result));
        announce_recomputed(t);
        const bool end = s->epoch_update == t->updates_per_epoch;
        const bool due = end || s->epoch_update % settings->log_interval == 0;
        report_update(t, &result, due || s->step == t->stop_step);
        if (due) FV_TRY(log_interval(t));
        const int64_t every = settings->checkpoint_steps;
        if (every > 0 && s->step % every == 0 && !end && s->step < t->stop_step)
            FV_TRY(save_step(t));
    }
    if (fv_report_stop(t->report)) return interrupt(t);
    const fv_run_times times = times_since(t, t->epoch_start, t->epoch_wait, t->epoch_images);
    const fv_status status = end_epoch(t, &times);
    return status == FV_ERR_INTERRUPTED ? interrupt(t) : status;
}

bool fv_trainer_finished(const fv_trainer *t) {
    const fv_run_state *s = &t->state;
    if (s->epoch >= t->epochs) return true;
    return s->step >= t->stop_step && (s->final.exists || (s->epoch_update == 0 && s->step > 0));
}

fv_status fv_trainer_run(fv_trainer *t) {
    const fv_run_state *s = &t->state;

    t->result.out = t->out;
    if (fv_trainer_finished(t)) {
        if (s->final.exists)
            set_result(t, &s->final.record, 0.0);
        else if (s->n_history > 0)
            set_result(t, &s->history[s->n_history - 1], 0.0);
        t->result.already_finished = true;
        fv_report_info(t->report, "%s is finished after %lld steps: nothing to do", t->out,
                       (long long)s->step);
        return FV_OK;
    }
    while (!fv_trainer_finished(t)) FV_TRY(run_epoch(t));
    return FV_OK;
}

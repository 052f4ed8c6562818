#include "train/run_state.h"

#include <math.h>
#include <string.h>

#define STATE_FORMAT 1

fv_status fv_run_state_record(fv_run_state *state, const fv_epoch_record *record, fv_arena *arena) {
    if (state->n_history == state->history_capacity) {
        const int64_t capacity = state->history_capacity ? 2 * state->history_capacity : 64;
        fv_epoch_record *grown = fv_arena_alloc(arena, (size_t)capacity, sizeof *grown);
        if (!grown) return FV_ERR_NOMEM;
        if (state->n_history)
            memcpy(grown, state->history, (size_t)state->n_history * sizeof *grown);
        state->history = grown;
        state->history_capacity = capacity;
    }
    state->history[state->n_history++] = *record;
    return FV_OK;
}

/* ---- writing ---- */

static void put_int(fv_arena *arena, fv_value *map, const char *key, int64_t v) {
    fv_value_set(arena, map, key, fv_value_int(arena, v));
}

static void put_real(fv_arena *arena, fv_value *map, const char *key, double v) {
    fv_value_set(arena, map, key, fv_value_real(arena, v));
}

static fv_value *write_record(const fv_epoch_record *r, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);

    put_int(arena, map, "epoch", r->epoch);
    put_int(arena, map, "step", r->step);
    put_real(arena, map, "train_loss", r->train_loss);
    put_real(arena, map, "grad_norm", r->grad_norm);
    put_real(arena, map, "lr", r->lr);
    if (!r->evaluated) return map;
    put_real(arena, map, "eval_loss", r->eval_loss);
    put_real(arena, map, "eval_top1", r->eval_top1);
    put_real(arena, map, "eval_top5", r->eval_top5);
    put_int(arena, map, "eval_count", r->eval_count);
    if (!r->averaged) return map;
    put_real(arena, map, "eval_ema_loss", r->ema_loss);
    put_real(arena, map, "eval_ema_top1", r->ema_top1);
    put_real(arena, map, "eval_ema_top5", r->ema_top5);
    return map;
}

static fv_value *write_best(const fv_best *best, fv_arena *arena) {
    if (!best->exists) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    put_int(arena, map, "epoch", best->epoch);
    put_real(arena, map, "eval_top1", best->eval_top1);
    fv_value_set(arena, map, "checkpoint", fv_value_string(arena, best->checkpoint));
    return map;
}

static fv_value *write_final(const fv_final *final, fv_arena *arena) {
    if (!final->exists) return fv_value_new(arena, FV_VALUE_NULL);
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value_set(arena, map, "record", write_record(&final->record, arena));
    put_int(arena, map, "summary_bytes", final->summary_bytes);
    put_int(arena, map, "log_bytes", final->log_bytes);
    return map;
}

fv_value *fv_run_state_write(const fv_run_state *s, fv_arena *arena) {
    fv_value *map = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *interval = fv_value_new(arena, FV_VALUE_MAP);
    fv_value *history = fv_value_new(arena, FV_VALUE_LIST);

    put_int(arena, map, "format", STATE_FORMAT);
    put_int(arena, map, "epoch", s->epoch);
    put_int(arena, map, "epoch_update", s->epoch_update);
    put_int(arena, map, "step", s->step);
    put_int(arena, map, "sample_position", s->sample_position);
    put_real(arena, map, "loss_sum", s->loss_sum);
    put_real(arena, map, "grad_norm_sum", s->grad_norm_sum);
    put_real(arena, map, "lr", s->lr);
    put_real(arena, interval, "loss_sum", s->interval.loss_sum);
    put_real(arena, interval, "grad_norm_sum", s->interval.grad_norm_sum);
    put_int(arena, interval, "updates", s->interval.updates);
    fv_value_set(arena, map, "interval", interval);
    fv_value_set(arena, map, "best", write_best(&s->best, arena));
    put_int(arena, map, "summary_bytes", s->summary_bytes);
    put_int(arena, map, "log_bytes", s->log_bytes);
    fv_value_set(arena, map, "final", write_final(&s->final, arena));
    for (int64_t i = 0; i < s->n_history; i++)
        fv_value_add(history, write_record(&s->history[i], arena));
    fv_value_set(arena, map, "history", history);
    return map;
}

/* ---- reading ---- */

static fv_status need(const fv_value *map, const char *key, fv_value **out) {
    *out = fv_value_find(map, key);
    return *out ? FV_OK : FV_FAIL(FV_ERR_FORMAT, "'%s' is missing", key);
}

static fv_status get_int(const fv_value *map, const char *key, int64_t *out) {
    fv_value *v;
    FV_TRY(need(map, key, &v));
    if (v->kind != FV_VALUE_INT || v->integer < 0)
        return FV_FAIL(FV_ERR_FORMAT, "'%s' is not a count", key);
    *out = v->integer;
    return FV_OK;
}

/* What was not finite was written as null. */
static fv_status get_real(const fv_value *map, const char *key, double *out) {
    fv_value *v;
    FV_TRY(need(map, key, &v));
    if (v->kind != FV_VALUE_REAL && v->kind != FV_VALUE_INT && v->kind != FV_VALUE_NULL)
        return FV_FAIL(FV_ERR_FORMAT, "'%s' is not a number", key);
    *out = v->kind == FV_VALUE_NULL ? (double)NAN : v->real;
    return FV_OK;
}

static fv_status read_record(const fv_value *map, fv_epoch_record *r) {
    *r = (fv_epoch_record){.evaluated = fv_value_find(map, "eval_top1") != NULL,
                           .averaged = fv_value_find(map, "eval_ema_top1") != NULL};
    FV_TRY(get_int(map, "epoch", &r->epoch));
    FV_TRY(get_int(map, "step", &r->step));
    FV_TRY(get_real(map, "train_loss", &r->train_loss));
    FV_TRY(get_real(map, "grad_norm", &r->grad_norm));
    FV_TRY(get_real(map, "lr", &r->lr));
    if (!r->evaluated) return FV_OK;
    FV_TRY(get_real(map, "eval_loss", &r->eval_loss));
    FV_TRY(get_real(map, "eval_top1", &r->eval_top1));
    FV_TRY(get_real(map, "eval_top5", &r->eval_top5));
    FV_TRY(get_int(map, "eval_count", &r->eval_count));
    if (!r->averaged) return FV_OK;
    FV_TRY(get_real(map, "eval_ema_loss", &r->ema_loss));
    FV_TRY(get_real(map, "eval_ema_top1", &r->ema_top1));
    return get_real(map, "eval_ema_top5", &r->ema_top5);
}

static fv_status read_best(const fv_value *map, fv_best *best) {
    fv_value *v;

    FV_TRY(need(map, "best", &v));
    if (v->kind == FV_VALUE_NULL) return FV_OK;
    FV_TRY(get_int(v, "epoch", &best->epoch));
    FV_TRY(get_real(v, "eval_top1", &best->eval_top1));
    const fv_value *name = fv_value_find(v, "checkpoint");
    if (!name || name->kind != FV_VALUE_STRING || strchr(name->text, '/'))
        return FV_FAIL(FV_ERR_FORMAT, "'best' does not name a checkpoint");
    best->checkpoint = name->text;
    best->exists = true;
    return FV_OK;
}

static fv_status read_final(const fv_value *map, fv_final *final) {
    fv_value *v, *record;

    FV_TRY(need(map, "final", &v));
    if (v->kind == FV_VALUE_NULL) return FV_OK;
    FV_TRY(need(v, "record", &record));
    FV_TRY(read_record(record, &final->record));
    FV_TRY(get_int(v, "summary_bytes", &final->summary_bytes));
    FV_TRY(get_int(v, "log_bytes", &final->log_bytes));
    final->exists = true;
    return FV_OK;
}

static fv_status read_sums(const fv_value *map, fv_run_state *s) {
    fv_value *interval;

    FV_TRY(get_real(map, "loss_sum", &s->loss_sum));
    FV_TRY(get_real(map, "grad_norm_sum", &s->grad_norm_sum));
    FV_TRY(get_real(map, "lr", &s->lr));
    FV_TRY(need(map, "interval", &interval));
    FV_TRY(get_real(interval, "loss_sum", &s->interval.loss_sum));
    FV_TRY(get_real(interval, "grad_norm_sum", &s->interval.grad_norm_sum));
    return get_int(interval, "updates", &s->interval.updates);
}

fv_status fv_run_state_read(fv_value *map, fv_arena *arena, fv_run_state *out) {
    int64_t format = 0;
    fv_value *history;

    *out = (fv_run_state){0};
    FV_TRY(get_int(map, "format", &format));
    if (format != STATE_FORMAT)
        return FV_FAIL(FV_ERR_UNSUPPORTED, "written by another version (format %lld)",
                       (long long)format);
    FV_TRY(get_int(map, "epoch", &out->epoch));
    FV_TRY(get_int(map, "epoch_update", &out->epoch_update));
    FV_TRY(get_int(map, "step", &out->step));
    FV_TRY(get_int(map, "sample_position", &out->sample_position));
    FV_TRY(read_sums(map, out));
    FV_TRY(read_best(map, &out->best));
    FV_TRY(get_int(map, "summary_bytes", &out->summary_bytes));
    FV_TRY(get_int(map, "log_bytes", &out->log_bytes));
    FV_TRY(read_final(map, &out->final));
    FV_TRY(need(map, "history", &history));
    for (const fv_value *v = history->first; v; v = v->next) {
        fv_epoch_record record;
        FV_TRY(read_record(v, &record));
        FV_TRY(fv_run_state_record(out, &record, arena));
    }
    return FV_OK;
}

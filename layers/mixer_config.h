/* mixer_config.h - which token mixer a block gets and with which keys: the attention.* group.
 *
 * A key stands for every block (attention.kind), for the blocks of a stage (attention.stage.2.kind) or
 * for one block (attention.layer.5.window.size); the narrowest wins, and what nobody says is the
 * backbone's.  Stages and layers are counted from 0, layers through the whole network. */
#ifndef FV_LAYERS_MIXER_CONFIG_H
#define FV_LAYERS_MIXER_CONFIG_H

#include "core/value.h"

#include <stdint.h>

/* The keys of one block as one group in arena; NULL when attention is NULL or empty. */
fv_status fv_mixer_config_of(fv_arena *arena, const fv_value *attention, int64_t stage,
                             int64_t layer, fv_value **out);

/* Remembers in attention which keys of the block's own group have been asked for. */
void fv_mixer_config_read(fv_value *attention, int64_t stage, int64_t layer, const fv_value *own);

/* After all blocks: FV_ERR_CONFIG for the first key that no block has asked for, with its place: a group
 * of a mixer that no block has, a stage or layer that does not exist, a misspelt key ("did you mean"). */
fv_status fv_mixer_config_check(const fv_value *attention);

#endif

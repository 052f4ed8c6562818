/* mixer_list.h - every token mixer.  A new one is a file mixer_<kind>.c with its descriptor
 * fv_mixer_<kind>, and its kind here. */
#ifndef FV_LAYERS_MIXER_LIST_H
#define FV_LAYERS_MIXER_LIST_H

#include "layers/mixer.h"

#define FV_MIXER_LIST(X) X(mhsa) X(halo) X(window) X(channel) X(bra)

#define FV_X(kind) extern const fv_mixer fv_mixer_##kind;
FV_MIXER_LIST(FV_X)
#undef FV_X

#endif

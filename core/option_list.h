/* option_list.h - every option of every command: one line each.
 *
 * The list makes struct fv_settings, the defaults, the keys of YAML files, the flags (--kebab-case),
 * --set, --print-config, --help and "fovea options".  Names and defaults are timm's where timm has
 * the option; deviations say so in their help.
 *
 *   INT(name, default, min, max, commands, help)            int64_t
 *   REAL(name, default, min, max, commands, help)           double
 *   BOOL(name, default, commands, help)                     bool; --name and --no-name
 *   STRING(name, default, choices, commands, help)          const char *; choices "a b c" or NULL
 *   REALS(name, count, default, min, max, commands, help)   fv_reals; "0.9 0.999", "" = not set
 *   MAP(name, commands, help)                               fv_value *, free-form nested group
 *
 * commands: TRAIN | EVAL ... as in option.h, and the groups RUN (anything that computes), CKPT (what
 * reads a checkpoint), WALK (what takes a checkpoint through a split), INPUT (what makes the batches of
 * a training), READ (what reads a data set), ALL; FLAG_ONLY refuses the option in files; NOT_SAVED
 * leaves it out of the resolved configuration. */
#ifndef FV_CORE_OPTION_LIST_H
#define FV_CORE_OPTION_LIST_H

#include <stdint.h>

#define FV_ANY_REAL 1e30

/* clang-format off */
#define FV_OPTION_LIST(INT, REAL, BOOL, STRING, REALS, MAP)                                          \
    STRING(config, "", NULL, TRAIN | ABLATE | BENCH | SUMMARY | EXPORT | FLAG_ONLY,                  \
           "YAML file with options; flags win over it")                                              \
    /* data */                                                                                       \
    STRING(data_dir, "", NULL, INPUT | WALK | BENCH,                                                 \
           "data set: image folder, Tiny-ImageNet, CIFAR binaries or tar shards")                    \
    STRING(train_split, "train", NULL, INPUT | FEATURES | BENCH, "split to train on")                \
    STRING(val_split, "validation", NULL, TRAIN, "split to evaluate on between epochs")              \
    STRING(split, "validation", NULL, WALK, "split to read")                                         \
    STRING(class_order, "byte", "byte natural", READ, "order of classes (natural: c2 before c10)")   \
    STRING(class_map, "", NULL, READ,                                                                \
           "file of class names in label order; others are left out")                                \
    STRING(subset, "", NULL, READ,                                                                   \
           "images to train on or read: N per class, a share (0.1), or a file of names")             \
    INT(max_bad, 0, 0, INT64_MAX, INPUT | WALK, "corrupt images to skip before giving up")           \
    INT(epoch, 0, 0, 1000000, EXPORT, "epoch whose first batches are written, from 0")               \
    INT(classes, 10, 2, 10, SYNTH, "classes of a synthetic set")                                     \
    INT(size, 64, 32, 512, SYNTH, "image side of a synthetic set in pixels")                         \
    INT(train, 2000, 2, 10000000, SYNTH, "training images of a synthetic set")                       \
    INT(val, 500, 2, 10000000, SYNTH, "validation images of a synthetic set")                        \
    INT(shortcut, -1, -1, 9, SYNTH, "class (0 = disc ...) that gets a marker (-1 = none)")           \
    BOOL(force, false, SYNTH | NOT_SAVED, "replace a synthetic set of other parameters")             \
    /* model */                                                                                      \
    STRING(model, "", NULL, INPUT | CKPT | BENCH | SUMMARY | CONVERT,                                \
           "model name, see 'fovea models'; checkpoints know theirs (timm: resnet50)")               \
    MAP(model_kwargs, INPUT | CKPT | BENCH | SUMMARY | CONVERT,                                      \
        "constructor arguments, e.g. depth=6 num_heads=3")                                           \
    MAP(attention, INPUT | BENCH | SUMMARY, "token mixer, e.g. kind=mhsa heads=6")                   \
    MAP(pool, INPUT | BENCH | SUMMARY, "head pooling, e.g. kind=cls")                                \
    MAP(pos, INPUT | BENCH | SUMMARY, "position embedding, e.g. kind=none")                          \
    INT(num_classes, 0, 0, 1000000, INPUT | BENCH | SUMMARY, "classes (0 = from the data)")          \
    INT(img_size, 0, 0, 16384, INPUT | CKPT | BENCH | SUMMARY | CONVERT,                             \
        "image side in pixels (0 = model's)")                                                        \
    STRING(initial_checkpoint, "", NULL, TRAIN,                                                      \
           "weights to start from, of other classes or another size too")                            \
    STRING(freeze, "", NULL, TRAIN,                                                                  \
           "parts to leave as they are, e.g. patch_embed,blocks.0; backbone = all but the head")     \
    BOOL(use_ema, false, CKPT | CONVERT, "use the averaged weights of the checkpoint")               \
    STRING(to, "timm", NULL, CONVERT, "names to write: timm, authors, transformers")                 \
    /* batches and length */                                                                         \
    INT(batch_size, 128, 1, 65536, INPUT | WALK | BENCH,                                             \
         "images per step; eval: per pass at most; explain: per pass, 8 unless given")               \
    INT(validation_batch_size, 0, 0, 65536, TRAIN, "images per evaluation pass (0 = batch_size)")    \
    INT(grad_accum_steps, 1, 1, 65536, INPUT | BENCH, "steps whose gradients make one update")       \
    INT(epochs, 300, 0, 1000000, TRAIN, "epochs to train")                                           \
    INT(max_steps, 0, 0, INT64_MAX, TRAIN, "stop after this many updates (0 = epochs decide)")       \
    /* learning rate */                                                                              \
    REAL(lr, 0, 0, FV_ANY_REAL, TRAIN, "learning rate (0 = from lr_base and the batch size)")        \
    REAL(lr_base, 0.1, 0, FV_ANY_REAL, TRAIN, "learning rate at a batch of lr_base_size")            \
    INT(lr_base_size, 256, 1, INT64_MAX, TRAIN, "batch size that lr_base is meant for")              \
    STRING(lr_base_scale, "", "linear sqrt", TRAIN, "growth with the batch (empty: sqrt for adam*)") \
    STRING(sched, "cosine", "cosine", TRAIN, "learning rate schedule")                               \
    BOOL(sched_on_updates, false, TRAIN, "change the rate at every update, not every epoch")         \
    INT(lr_cycle_limit, 1, 0, INT64_MAX, TRAIN, "cosine cycles")                                     \
    REAL(lr_cycle_mul, 1, 0, FV_ANY_REAL, TRAIN, "length of a cycle relative to the last one")       \
    REAL(lr_cycle_decay, 0.5, 0, FV_ANY_REAL, TRAIN, "peak of a cycle relative to the last one")     \
    INT(warmup_epochs, 5, 0, 1000000, TRAIN, "epochs of linear warm-up")                             \
    REAL(warmup_lr, 1e-5, 0, FV_ANY_REAL, TRAIN, "learning rate the warm-up starts from")            \
    BOOL(warmup_prefix, false, TRAIN, "start the schedule after the warm-up, not under it")          \
    REAL(min_lr, 0, 0, FV_ANY_REAL, TRAIN, "learning rate the schedule ends at")                     \
    INT(cooldown_epochs, 0, 0, 1000000, TRAIN, "epochs at min_lr behind the schedule")               \
    REAL(layer_decay, 0, 0, 1, TRAIN,                                                                \
         "rate of a layer over that of the next one, the head's is lr (0 = no decay)")               \
    REAL(layer_decay_min_scale, 0, 0, 1, TRAIN, "smallest share of lr under layer decay")            \
    /* optimiser and regularisation */                                                               \
    STRING(opt, "adamw", "adamw sgd", TRAIN, "optimiser (timm: sgd)")                                \
    REAL(momentum, 0.9, 0, 1, TRAIN, "momentum of sgd")                                              \
    REAL(opt_eps, 0, 0, 1, TRAIN, "optimiser epsilon (0 = its own default)")                         \
    REALS(opt_betas, 2, "", 0, 1, TRAIN, "optimiser betas (default: its own)")                       \
    REAL(weight_decay, 0.05, 0, FV_ANY_REAL, TRAIN, "decoupled weight decay (timm: 2e-5)")           \
    REAL(clip_grad, 0, 0, FV_ANY_REAL, TRAIN, "largest gradient norm (0 = no clipping)")             \
    REAL(smoothing, 0.1, 0, 1, INPUT, "label smoothing")                                             \
    REAL(drop_path, 0, 0, 0.999, TRAIN | BENCH, "stochastic depth rate of the last block")           \
    REAL(mixup, 0, 0, FV_ANY_REAL, INPUT, "mixup: alpha of the beta distribution (0 = off)")         \
    REAL(cutmix, 0, 0, FV_ANY_REAL, INPUT, "cutmix: alpha of the beta distribution (0 = off)")       \
    REALS(cutmix_minmax, 2, "", 0, 1, INPUT, "cutmix: range of the rectangle's sides, not of alpha") \
    REAL(mixup_prob, 1, 0, 1, INPUT, "chance that a batch is mixed")                                 \
    REAL(mixup_switch_prob, 0.5, 0, 1, INPUT, "chance of cutmix where mixup is on too")              \
    INT(mixup_off_epoch, 0, 0, 1000000, INPUT, "epoch from which nothing is mixed (0 = never)")      \
    BOOL(bce_loss, false, INPUT, "binary cross entropy per class instead of cross entropy")          \
    REAL(bce_target_thresh, 0, 0, 1, INPUT, "targets above it count as 1, others as 0 (0 = off)")    \
    BOOL(model_ema, false, TRAIN, "keep and evaluate a moving average of the weights")               \
    REAL(model_ema_decay, 0.9998, 0, 1, TRAIN, "share of the average that an update keeps")          \
    BOOL(model_ema_warmup, false, TRAIN, "a smaller decay during the first updates")                 \
    /* pixels */                                                                                     \
    REALS(mean, 3, "", -1e6, 1e6, INPUT | CKPT, "channel means (default: the model's)")              \
    REALS(std, 3, "", 1e-6, 1e6, INPUT | CKPT, "channel deviations (default: the model's)")          \
    STRING(interpolation, "", "bilinear bicubic", INPUT | CKPT, "evaluation resize (empty: model's)")\
    REAL(crop_pct, 0, 0, 1, INPUT | CKPT, "evaluation crop fraction (0 = model's)")                  \
    BOOL(exif_orientation, false, INPUT | CKPT, "turn JPEGs as their EXIF says (timm: ignored)")     \
    STRING(train_interpolation, "random", "random bilinear bicubic", INPUT | BENCH,                  \
           "resize in training")                                                                     \
    REALS(scale, 2, "0.08 1.0", 1e-6, 1, INPUT | BENCH, "random crop: range of the area")            \
    REALS(ratio, 2, "0.75 1.3333333333333333", 1e-3, 1e3, INPUT | BENCH,                             \
          "random crop: range of width / height")                                                    \
    REAL(hflip, 0.5, 0, 1, INPUT | BENCH, "chance of a horizontal flip")                             \
    REAL(vflip, 0, 0, 1, INPUT | BENCH, "chance of a vertical flip")                                 \
    STRING(aa, "", NULL, INPUT, "RandAugment as timm writes it: rand-m9-mstd0.5-inc1 (empty: off)")  \
    REAL(color_jitter, 0.4, 0, 100, INPUT,                                                           \
         "brightness, contrast, saturation times 1 +- this, from 0 on; not with aa")                 \
    REAL(color_jitter_prob, 1, 0, 1, INPUT, "chance of colour jitter")                               \
    REAL(grayscale_prob, 0, 0, 1, INPUT, "chance of taking the colours away")                        \
    INT(aug_repeats, 0, 0, 255, INPUT, "augmented copies of an image in a batch (0 = 1)")            \
    REAL(reprob, 0, 0, 1, INPUT, "chance of random erasing")                                         \
    STRING(remode, "pixel", "pixel rand const", INPUT, "erase with noise, a random or mean colour")  \
    INT(recount, 1, 1, 256, INPUT, "rectangles to erase in an image")                                \
    /* run */                                                                                        \
    INT(seed, 42, 0, INT64_MAX, READ | ABLATE | BENCH | SYNTH,                                       \
        "seed of every random number")                                                               \
    INT(threads, 0, 0, 256, RUN | INFO | SYNTH, "compute threads (0 = all allowed cores)")           \
    INT(workers, -1, -1, 256, TRAIN | EVAL | FEATURES | FAITHFUL | ANALYZE | BENCH | EXPORT,         \
        "loader threads (-1 = automatic)")                                                           \
    BOOL(grad_checkpointing, false, TRAIN | BENCH,                                                   \
         "compute the activations of blocks again in the backward pass: less memory, more time")     \
    STRING(mem_limit, "", NULL, TRAIN | BENCH,                                                       \
           "most memory of the process, e.g. 8G: as many blocks as needed are computed again")       \
    STRING(precision, "auto", "auto f32 bf16", RUN, "arithmetic (auto: the command's best)")         \
    STRING(out, "", NULL,                                                                            \
           INPUT | FEATURES | EXPLAIN | FAITHFUL | ANALYZE | ABLATE | SYNTH | REPORT | CONVERT,       \
           "output folder or file")                                                                  \
    STRING(resume, "", NULL, TRAIN | EXPLAIN | FAITHFUL | NOT_SAVED,                                 \
           "continue: auto, or for train a run or a checkpoint folder")                              \
    INT(checkpoint_steps, 0, 0, INT64_MAX, TRAIN, "updates between checkpoints (0 = every epoch)")   \
    INT(checkpoint_hist, 10, 1, INT64_MAX, TRAIN, "checkpoints to keep")                             \
    INT(log_interval, 50, 1, INT64_MAX, TRAIN, "updates between log lines")                          \
    INT(val_interval, 1, 0, INT64_MAX, TRAIN, "epochs between evaluations (0 = only at the end)")    \
    /* results */                                                                                    \
    STRING(logits, "", NULL, EVAL, "write logits and sample names to this safetensors file")         \
    INT(knn, 0, 0, 100000, FEATURES, "judge by a vote of this many nearest neighbours (0 = off)")    \
    BOOL(linear_probe, false, FEATURES, "judge by a linear classifier")                              \
    INT(depth, 0, 0, 64, SUMMARY, "levels of modules to show (0 = all, and their ops)")              \
    INT(topk, 5, 1, 1000000, PREDICT, "classes to print per image")                                  \
    STRING(method, "lrp,gradient_x_input", NULL, EXPLAIN | BENCH,                                    \
           "explanation methods, separated by commas")                                               \
    STRING(methods, "lrp", NULL, FAITHFUL, "explanation methods, separated by commas")               \
    STRING(metrics, "", NULL, FAITHFUL, "measures, separated by commas (empty: the usual ones)")     \
    MAP(metric_args, FAITHFUL, "numbers of measures, e.g. deletion_step=64")                         \
    STRING(randomisation, "", "cascade independent", FAITHFUL,                                       \
           "also compare with maps of a model whose stages become random")                           \
    STRING(target, "", NULL, EXPLAIN | FAITHFUL,                                                     \
           "class to explain: index, name or @label (empty: the predicted one)")                     \
    STRING(against, "", NULL, EXPLAIN | FAITHFUL,                                                    \
           "explain the difference to this class, or to @others (empty: the class alone)")           \
    INT(count, 0, 0, 1000000, EXPLAIN | FAITHFUL | ANALYZE,                                          \
        "images to take from each folder or class (0 = all)")                                        \
    STRING(layer, "", NULL, EXPLAIN | FAITHFUL | BENCH,                                              \
           "layer a method looks at (empty: its default)")                                           \
    STRING(colormap, "", NULL, EXPLAIN, "colours of maps (empty: bwr with sign, viridis without)")   \
    STRING(normalise, "", NULL, EXPLAIN,                                                             \
           "range of colours, NAME[:NUMBER] (empty: percentile:99 with sign, minmax without)")       \
    BOOL(shared_scale, false, EXPLAIN, "one range for the maps of an image beside one another")      \
    INT(warmup, 5, 0, 1000000, BENCH, "steps before the clock starts")                               \
    INT(simulate_threads, 64, 1, 4096, BENCH, "cores up to which bench ops calculates times")        \
    BOOL(profile, false, BENCH, "bench train: time, operations and bytes of every op too")           \
    INT(steps, 20, 1, 1000000, BENCH | EXPORT, "steps to measure; to write: 1 unless given")         \
    BOOL(json, false, ALL | NOT_SAVED, "print one JSON value on stdout")                             \
    BOOL(csv, false, BENCH | NOT_SAVED, "print CSV on stdout: a line of names, then rows")           \
    STRING(color, "auto", "auto always never", ALL | NOT_SAVED, "coloured messages")
/* clang-format on */

/* Short flags and other spellings: X("spelling", option).  Two letters are timm's -vb. */
#define FV_OPTION_ALIAS_LIST(X)    \
    X("c", config)                 \
    X("b", batch_size)             \
    X("vb", validation_batch_size) \
    X("j", workers)                \
    X("o", out)

#endif

/* metric_list.h - the metrics of explanations; adding one is its file and one line here. */
#ifndef FV_EVAL_SALIENCY_METRIC_LIST_H
#define FV_EVAL_SALIENCY_METRIC_LIST_H

#define FV_METRIC_LIST(X) \
    X(deletion)           \
    X(insertion)          \
    X(road)               \
    X(faithfulness)       \
    X(completeness)       \
    X(pointing)           \
    X(localisation) X(sparsity) X(class_sensitivity) X(shortcut) X(ledger) X(sensitivity)

#endif

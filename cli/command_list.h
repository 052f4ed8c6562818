/* command_list.h - every command, in the order of fovea --help: one line each. */
#ifndef FV_CLI_COMMAND_LIST_H
#define FV_CLI_COMMAND_LIST_H

#define FV_COMMAND_LIST(X) \
    X(train)               \
    X(eval)                \
    X(predict)             \
    X(features)            \
    X(explain)             \
    X(faithful)            \
    X(analyze)             \
    X(bench)               \
    X(data)                \
    X(convert)             \
    X(models)              \
    X(summary)             \
    X(options)             \
    X(info)

#endif

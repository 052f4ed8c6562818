#include "eval/class_names.h"

#include <criterion/criterion.h>

#include <string.h>

static const char *const three[] = {"ant", "bee", "cat"};
static const char *const other[] = {"ant", "bat", "cow"};
static const char *const four[] = {"ant", "bee", "cat", "dog"};

static const fv_dataset dataset = {
    .root = "data", .class_names = (const char **)(uintptr_t)three, .n_classes = 3};

static void refuses(const char *const *names, int64_t n, const char *message) {
    cr_assert_eq(fv_class_names_check("ckpt", names, n, &dataset), FV_ERR_FORMAT);
    cr_assert_str_eq(fv_error_message(), message);
}

Test(eval_class_names, equal_names_or_none_of_the_same_number) {
    cr_assert_eq(fv_class_names_check("ckpt", three, 3, &dataset), FV_OK);
    cr_assert_eq(fv_class_names_check("ckpt", NULL, 3, &dataset), FV_OK);
}

Test(eval_class_names, the_first_difference_is_named) {
    refuses(other, 3, "class 1 is 'bat' in the checkpoint ckpt but 'bee' in data");
    refuses(four, 4, "data has 3 classes, the checkpoint ckpt has 4; only one of them knows 'dog'");
    refuses(three, 2,
            "data has 3 classes, the checkpoint ckpt has 2; only one of them knows 'cat'");
    refuses(NULL, 1000, "data has 3 classes, the checkpoint ckpt has 1000");
}

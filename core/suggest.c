#include "core/suggest.h"

#include <stdio.h>
#include <string.h>

#define MAX_LENGTH 63

static int fold(char c) {
    if (c == '-') return '_';
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static int min3(int a, int b, int c) {
    const int m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment, the restricted Damerau-Levenshtein distance, in three rolling rows. */
int fv_edit_distance(const char *a, const char *b) {
    int row[3][MAX_LENGTH + 1];
    const int n = (int)strnlen(a, MAX_LENGTH), m = (int)strnlen(b, MAX_LENGTH);

    for (int j = 0; j <= m; j++) row[0][j] = j;
    for (int i = 1; i <= n; i++) {
        int *now = row[i % 3];
        const int *last = row[(i + 2) % 3], *before = row[(i + 1) % 3];
        now[0] = i;
        for (int j = 1; j <= m; j++) {
            const int cost = fold(a[i - 1]) != fold(b[j - 1]);
            now[j] = min3(last[j] + 1, now[j - 1] + 1, last[j - 1] + cost);
            const int swapped = i > 1 && j > 1 && fold(a[i - 1]) == fold(b[j - 2]) &&
                                fold(a[i - 2]) == fold(b[j - 1]);
            if (swapped && before[j - 2] + 1 < now[j]) now[j] = before[j - 2] + 1;
        }
    }
    return row[n % 3][m];
}

const char *fv_suggest(const char *word, const char *const *names) {
    const char *best = NULL;
    int best_distance = ((int)strnlen(word, MAX_LENGTH) + 2) / 3 + 1;

    for (; names && *names; names++) {
        const int distance = fv_edit_distance(word, *names);
        if (distance < best_distance && distance < (int)strlen(*names)) {
            best = *names;
            best_distance = distance;
        }
    }
    return best;
}

const char *fv_suggest_text(const char *word, const char *const *names,
                            char text[FV_SUGGEST_TEXT]) {
    const char *best = fv_suggest(word, names);

    text[0] = '\0';
    if (best) snprintf(text, FV_SUGGEST_TEXT, "; did you mean '%s'?", best);
    return text;
}

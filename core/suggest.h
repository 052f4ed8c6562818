/* suggest.h - "did you mean": the known name nearest to a mistyped one. */
#ifndef FV_CORE_SUGGEST_H
#define FV_CORE_SUGGEST_H

#include <stddef.h>

#define FV_SUGGEST_TEXT 96

/* Edits (insertion, deletion, substitution, swap of two neighbours) that turn a into b; case and
 * the difference between '-' and '_' do not count.  Only the first 63 bytes are looked at. */
int fv_edit_distance(const char *a, const char *b);

/* The nearest of a NULL-terminated list (the first of equals), or NULL when none is near: at most
 * one edit in three characters.  names may be NULL. */
const char *fv_suggest(const char *word, const char *const *names);

/* "; did you mean 'name'?" into text, "" without a suggestion; returns text. */
const char *fv_suggest_text(const char *word, const char *const *names, char text[FV_SUGGEST_TEXT]);

#endif

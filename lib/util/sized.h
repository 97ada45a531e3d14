/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * Structures of the program's that begin with their size. One may be of an older program, and
 * shorter: what it lacks is 0. One may be of a newer program, and longer: what isn't known here must be
 * 0, or it asks for something that wouldn't be done.
 */
#ifndef DML_UTIL_SIZED_H
#define DML_UTIL_SIZED_H

#include <stddef.h>

/**
 * dml_sized_take() - copy such a structure
 * @to: out: untouched after an error
 * @ours: its size, as it is known here
 * @least: its size with the members that every program has
 * @from: the program's, of whatever size
 * @what: its name, for messages
 *
 * Return: 0; -EINVAL: @from is NULL, is shorter than @least, or ends within a member; -E2BIG: something
 * that isn't 0 is behind @ours, or it is longer than any such structure.
 */
int dml_sized_take(void *to, size_t ours, size_t least, const void *from,
		   const char *what);

/* @type: of @to and, as the program knows it, @from. @last: of the members that every program has */
#define DML_SIZED_TAKE(to, from, type, last) \
	dml_sized_take(to, sizeof(type), \
		       offsetof(type, last) + sizeof(((type *)NULL)->last), from, #type)

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * The program's structures that begin with their size. An older program's is shorter: the members
 * that it lacks are 0. A newer program's is longer: the bytes that this library doesn't know must
 * be 0, because what they ask for couldn't be done.
 */
#ifndef DML_UTIL_SIZED_H
#define DML_UTIL_SIZED_H

#include <stddef.h>

/**
 * dml_sized_take() - copy such a structure
 * @to: out: the copy; unchanged after an error
 * @ours: bytes of the structure, as this library knows it
 * @least: bytes of the structure, with the members that every program has
 * @from: the program's structure, of any size
 * @what: type of the structure, for messages
 *
 * Return: 0; -EINVAL: @from is NULL, is shorter than @least, or ends within a member; -E2BIG: a byte
 * beyond @ours is not 0, or @from is longer than any such structure.
 */
int dml_sized_take(void *to, size_t ours, size_t least, const void *from,
		   const char *what);

/* @type: of @to and of @from. @last: the last of the members that every program has */
#define DML_SIZED_TAKE(to, from, type, last) \
	dml_sized_take(to, sizeof(type), \
		       offsetof(type, last) + sizeof(((type *)NULL)->last), \
		       from, #type)

#endif

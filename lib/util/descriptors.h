/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The descriptors of a process, by the links in /proc/PID/fd, and duplicates of them. */
#ifndef DML_UTIL_DESCRIPTORS_H
#define DML_UTIL_DESCRIPTORS_H

#define DML_CONTAINER_FILE "/dev/vfio/vfio"

/**
 * struct dml_descriptor - a descriptor of a process
 * @fd: its number
 * @to: what its link points to, such as "/dev/vfio/vfio"
 */
struct dml_descriptor {
	int fd;
	char *to;
};

/**
 * dml_descriptors() - list the descriptors of a process
 * @root: prefix of /proc: "", or a folder that has a copy of it
 * @pid: number of the process
 * @list: out: its descriptors, ascending; dml_descriptors_free() frees them
 *
 * Return: their number, or -errno: -ENOENT: no such process, -EACCES: another user's.
 */
int dml_descriptors(const char *root, int pid, struct dml_descriptor **list);
void dml_descriptors_free(struct dml_descriptor *list, int n);
/* Why dml_descriptors() failed with @err: set the text. Return: @err */
int dml_descriptors_error(int err, int pid);

/* Return: our duplicate of a descriptor of another process, which keeps its own; or -errno, with a text */
int dml_descriptors_borrow(int pid, int fd);

/*
 * Return: the descriptor of its only container; or -errno, with a text: -ENODEV: it has none; -ENOTUNIQ: it
 * has several
 */
int dml_descriptors_container(int pid);

/* Return: the text of an error of pidfd_open(2) or pidfd_getfd(2) */
const char *dml_descriptors_explain(int err);

#endif

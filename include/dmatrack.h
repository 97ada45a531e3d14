/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/*
 * libdmatrack: harvest the pages that devices have written by DMA.
 *
 * A container is the engine in this process, alone or on page tables of an iommufd, or an open
 * /dev/vfio/vfio with the type1 driver that the kernel has loaded. Functions return 0, or a negative
 * errno, unless said otherwise. IOVAs and sizes are in bytes.
 *
 * Any number of threads may make calls on one container, except dmatrack_close(),
 * which must be the last call.
 */
#ifndef DMATRACK_H
#define DMATRACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dmatrack;
struct dmatrack_engine;

/**
 * dmatrack_error() - the error message of the last call
 *
 * Return: a text for people about the calling thread's last call, if that failed; "" if there is
 * none beyond the errno. It belongs to the library, and is valid until the thread's next call.
 * Functions that can't fail, such as those that close something, don't change it.
 */
const char *dmatrack_error(void);

/* Bytes of a text that are kept, including the null byte at its end */
#define DMATRACK_ERROR_MAX 512

#ifdef __GNUC__
#define DMATRACK_PRINTF __attribute__((format(printf, 2, 3)))
#else
#define DMATRACK_PRINTF
#endif

/**
 * dmatrack_set_error() - set the calling thread's error message
 * @err: a negative errno
 * @format: as for printf(3): a clause without a full stop, with the names and numbers that
 *	    matter: "group 12: device 0000:00:04.0 is bound to e1000e". An argument may be the
 *	    text that dmatrack_error() returned
 *
 * For functions of a program that the library calls (those of a destination, of a channel), just
 * before they return an error. Without it, the text is the function's name and the errno's.
 *
 * Return: @err.
 */
int dmatrack_set_error(int err, const char *format, ...) DMATRACK_PRINTF;
#undef DMATRACK_PRINTF

/**
 * dmatrack_open_engine() - open a container in this process
 * @t: out: the container
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 * @flags: as for dmatrack_engine_create()
 */
int dmatrack_open_engine(struct dmatrack **t, unsigned int type,
			 unsigned int flags);

/**
 * dmatrack_open_vfio() - open a container in the kernel, with one device
 * @t: out: the container
 * @device: address of a PCI device that is bound to a VFIO driver such as
 *	    vfio-pci ("0000:00:03.0"), or UUID of a mediated device
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 *
 * Return: 0; -ENODEV (no such device, or it is bound to no VFIO driver), -ENOENT
 * (there is no /dev/vfio/vfio), -EBUSY (the group is open elsewhere, or another
 * device in it is bound to a driver that isn't a VFIO driver), -EOPNOTSUPP (no type1
 * IOMMU driver is loaded), -EPERM, -EACCES, -EINVAL (@device is neither an address
 * nor a UUID, or @type is neither of the two), -ENOMEM, -EMFILE.
 */
int dmatrack_open_vfio(struct dmatrack **t, const char *device,
		       unsigned int type);

/**
 * dmatrack_open_group() - open a container in the kernel, with one group and no device
 * @t: out: the container
 * @path: the group's file, such as "/dev/vfio/12"
 * @type: VFIO_TYPE1v2_IOMMU or VFIO_TYPE1_IOMMU
 *
 * Mappings hold for all devices of the group, whether they are open or not;
 * dmatrack_attach() opens devices. The group stays in the container until
 * dmatrack_close().
 *
 * Return: 0; -ENOENT (there is no such file, or no /dev/vfio/vfio), -EINVAL (@path is
 * not a group's file, or @type is neither of the two); other errors as
 * dmatrack_open_vfio().
 */
int dmatrack_open_group(struct dmatrack **t, const char *path,
			unsigned int type);

/**
 * dmatrack_open_fd() - open a container from a descriptor
 * @t: out: the container
 * @fd: an open /dev/vfio/vfio whose IOMMU type has been set: the program's own, or
 *	another process's, received by SCM_RIGHTS or pidfd_getfd(2). It is duplicated,
 *	and stays the caller's
 *
 * dmatrack_close() ends nothing as long as another descriptor of the container is
 * open: its mappings, devices and tracking stay. A container's own log has one reader: if
 * two programs harvest it, each page is reported to only one of them, and dmatrack_stop()
 * stops tracking for both. To watch it, open a view: dmatrack_open_view().
 *
 * Return: 0; -EBADF (@fd isn't open), -EINVAL (it is not a VFIO container, or has no
 * IOMMU type yet), -EOPNOTSUPP (its IOMMU driver is not a type1 driver), -EMFILE, -ENOMEM.
 */
int dmatrack_open_fd(struct dmatrack **t, int fd);

/*
 * Entries of the page tables are single pages, so that as few pages as possible count as written;
 * devices may be slower. Nothing is mapped in the address space yet.
 */
#define DMATRACK_IOMMUFD_SMALL_PAGES (1u << 0)

/**
 * struct dmatrack_iommufd - page tables of an iommufd, or the device that they are made for
 * @size: sizeof(struct dmatrack_iommufd); for other values see dmatrack(7)
 * @device: a device bound to a VFIO driver, as for dmatrack_open_vfio(), or its file, such as
 *	    "/dev/vfio/devices/vfio0": an iommufd, an address space and page tables are made, and the
 *	    device is attached to them; the next three members are 0. NULL: the program has made
 *	    all that
 * @iommufd: descriptor of an open /dev/iommu. It is duplicated, and stays the caller's
 * @ioas: ID of an address space of @iommufd
 * @hwpt: ID of page tables of that address space, allocated with
 *	  IOMMU_HWPT_ALLOC_DIRTY_TRACKING
 * @flags: DMATRACK_IOMMUFD_*
 */
struct dmatrack_iommufd {
	size_t size;
	const char *device;
	int iommufd;
	uint32_t ioas;
	uint32_t hwpt;
	uint32_t flags;
};

/**
 * dmatrack_open_iommufd() - open a container on an iommufd's page tables with dirty bits
 * @t: out: the container
 * @iommufd: the page tables, or the device that they are made for
 *
 * The container is in this process, and does what dmatrack_open_engine()'s does; what it maps, it
 * maps in the address space too, and what devices write by DMA, it reads in the page tables'
 * dirty bits. Functions of dmatrack_engine.h write and mark for devices in this process.
 *
 * Mappings are made and removed by calls on the container only: mappings that were made by other
 * means are not known to it, and not harvested. No one else may switch the page tables' tracking
 * or read their dirty bits. dmatrack_close() removes its mappings and ends its tracking; an
 * address space that the program made stays. After fork(2) a child can't map, and changes nothing
 * in the page tables.
 *
 * Return: 0; -ENOENT (there is no /dev/iommu, or no such @ioas or @hwpt), -ENODEV (no such device,
 * it has no VFIO driver, or no file), -EOPNOTSUPP (the IOMMU keeps no dirty bits, or the page
 * tables were allocated without, or the kernel is older than Linux 6.7), -EBUSY (the device is in
 * use, or its IOMMU doesn't keep caches coherent), -EBADF (@iommufd isn't open), -EINVAL (it is not an iommufd; a member is given that
 * must be 0; the device is emulated; or, for DMATRACK_IOMMUFD_SMALL_PAGES, memory is mapped), -E2BIG (@iommufd has a member that this library doesn't
 * know, and that is not 0), -EPERM, -EACCES, -ENOMEM, -EMFILE.
 */
int dmatrack_open_iommufd(struct dmatrack **t,
			  const struct dmatrack_iommufd *iommufd);

struct dmatrack_range;

/**
 * struct dmatrack_device_log - a VFIO device that logs its own DMA writes, and what it is to log
 * @size: sizeof(struct dmatrack_device_log); for other values see dmatrack(7)
 * @device_fd: descriptor of the device, which is in a container or an iommufd, such as that of
 *	       dmatrack_device_fd(). It is duplicated, and stays the caller's
 * @nr_ranges: number of @ranges
 * @ranges: IOVAs that are to be logged, of whole pages, at least one; disjoint, in any order; copied
 * @page_size: bytes of the pages that the device should log; it may choose larger ones. 0: the
 *	       smallest
 */
struct dmatrack_device_log {
	size_t size;
	int device_fd;
	uint32_t nr_ranges;
	const struct dmatrack_range *ranges;
	uint64_t page_size;
};

/**
 * dmatrack_open_device_log() - open the log of a device
 * @t: out: the log, as a container that has one device, and @device_log's ranges as its mappings
 * @device_log: the device and the ranges
 *
 * dmatrack_start() has the device log its writes, with VFIO_DEVICE_FEATURE_DMA_LOGGING_START, and
 * harvests report them. A pre-copy takes it in place of the device's container, which may report
 * all pages. Nothing can be mapped or unmapped: the container that the device is in does that. A device has one log, so no one else
 * may use it. Where the device takes fewer ranges, it logs the gaps between some as well, which
 * is not reported. dmatrack_close() stops it; close it before the device's container. After
 * fork(2) a child can't use it, and closing it there changes nothing.
 *
 * Return: 0; -EOPNOTSUPP (the device keeps no log), -EBADF (@device_fd isn't open), -EINVAL (it is
 * not a VFIO device; there are no ranges, or they overlap or are not whole pages; @page_size is not a
 * power of two), -EOVERFLOW (a range ends at 2^64), -ENOSPC (too many ranges), -E2BIG
 * (@device_log has a member that this library doesn't know, and that is not 0), -ENOMEM, -EMFILE.
 */
int dmatrack_open_device_log(struct dmatrack **t,
			     const struct dmatrack_device_log *device_log);

struct dmatrack_mapping;

/**
 * struct dmatrack_process_log - a process, and its memory whose writes by processors are to be logged
 * @size: sizeof(struct dmatrack_process_log); for other values see dmatrack(7)
 * @pid: ID of the process; 0: this one
 * @nr_mappings: number of @mappings
 * @mappings: IOVAs, and the addresses of their memory in the process: of whole pages, at least one,
 *	      disjoint in both, in any order; @prot and @flags are ignored. As dmatrack_mappings()
 *	      lists them. Copied
 */
struct dmatrack_process_log {
	size_t size;
	pid_t pid;
	uint32_t nr_mappings;
	const struct dmatrack_mapping *mappings;
};

/**
 * dmatrack_open_process_log() - open a log of what processors write in a process's memory
 * @t: out: the log, as a container that has @process_log's mappings
 * @process_log: the process and the memory
 *
 * For programs that write to the memory that their devices write to, and have no log of their own: a
 * pre-copy takes it beside the container. It logs what the process's threads write, and what the kernel
 * writes for them, such as read(2): not what other processes write to the same memory, what is written
 * to a shared file by other means than these mappings, or DMA to pinned pages. Nothing can be mapped or
 * unmapped by it.
 *
 * Of this process, since Linux 6.7: page tables are protected against writing, from dmatrack_start() to
 * dmatrack_stop(), without messages (userfaultfd's asynchronous mode): the first write to a page after each
 * harvest takes about a microsecond longer. If memory is unmapped or mapped anew while tracking is on, all
 * pages are reported once. Private memory that is given back by MADV_DONTNEED is reported.
 *
 * Of another process, and of this one before Linux 6.7: by its soft-dirty bits. It is stopped for starting,
 * and for each harvest, which reads all of the mappings, whatever its range: about 10 ms per GiB. System
 * calls that wait may end with EINTR, as after a debugger. Huge pages are reported as a whole. No one else
 * may use these bits. If it exits or runs another program, all pages are reported. This process is
 * stopped by a child, which ends at once; with Yama it is made its tracer (prctl(2), PR_SET_PTRACER).
 *
 * Return: 0; -EOPNOTSUPP (a kernel without soft-dirty bits; of this process: and before Linux 6.7), -ESRCH (there is no such process), -EACCES, -EPERM (you may not trace it, or not use
 * userfaultfd), -EINVAL (there are no mappings, or they overlap or are not whole pages), -ENOSPC (too
 * many), -E2BIG (@process_log has a member that this library doesn't know, and that is not 0), -ENOMEM,
 * -EMFILE.
 */
int dmatrack_open_process_log(struct dmatrack **t,
			      const struct dmatrack_process_log *process_log);

/* The program has enabled KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: reading KVM's log does not clear it. */
#define DMATRACK_KVM_MANUAL_PROTECT (1u << 0)

/**
 * struct dmatrack_kvm_slot - a memory slot, as KVM_SET_USER_MEMORY_REGION was given it
 * @iova: IOVA at which devices have the slot's memory, or at which it is to be reported
 * @size: bytes of the slot, whole pages
 * @guest_addr: guest physical address
 * @vaddr: address of the memory in this process (userspace_addr)
 * @slot: number of the slot, with the ID of its address space in the upper 16 bits
 * @flags: KVM_MEM_READONLY or 0, with KVM_MEM_LOG_DIRTY_PAGES if the program has switched the slot's
 *	   log on, and it is to stay on
 */
struct dmatrack_kvm_slot {
	uint64_t iova;
	uint64_t size;
	uint64_t guest_addr;
	uint64_t vaddr;
	uint32_t slot;
	uint32_t flags;
};

/**
 * struct dmatrack_kvm_log - a virtual machine, whose processors' writes KVM logs
 * @size: sizeof(struct dmatrack_kvm_log); for other values see dmatrack(7)
 * @vm_fd: descriptor of the virtual machine, from KVM_CREATE_VM. It is duplicated, and stays the
 *	   caller's
 * @nr_slots: number of @slots
 * @slots: the slots that are to be logged, at least one; each is there as described. Their IOVAs are
 *	   disjoint, in any order; copied
 * @flags: DMATRACK_KVM_*
 * @reserved: 0
 */
struct dmatrack_kvm_log {
	size_t size;
	int vm_fd;
	uint32_t nr_slots;
	const struct dmatrack_kvm_slot *slots;
	uint32_t flags;
	uint32_t reserved;
};

/**
 * dmatrack_open_kvm_log() - open KVM's log of the processors' writes
 * @t: out: the log, as a container without devices, with the slots' IOVAs as its mappings
 * @kvm_log: the virtual machine and its slots
 *
 * A pre-copy takes it beside the containers of the devices: together they report what processors and
 * devices write. dmatrack_start() switches the slots' logs on, all or none, and drops what they have;
 * dmatrack_stop() and dmatrack_close() switch them off, but for those that were on. Harvests read the
 * log of each slot in their range as a whole. Nothing can be mapped or unmapped.
 *
 * KVM can't be asked for its slots: one that isn't there as described would be made or moved by
 * dmatrack_start(). As long as tracking is on, slots must not be changed or removed, and nothing else
 * may switch or read their logs. The virtual machine stays as long as the log is open. After fork(2)
 * a child can't use it, and closing it there changes nothing.
 *
 * Return: 0; -EBADF (@vm_fd isn't open), -EINVAL (it is not a virtual machine; there are no slots; a
 * slot is not whole pages, has unknown flags or is there twice, or two overlap in IOVAs; unknown
 * flags), -EIO (the virtual machine is another process's, or has failed), -ENOSPC (too many slots),
 * -E2BIG (@kvm_log has a member that this library doesn't know, and that is not 0), -ENOMEM, -EMFILE.
 */
int dmatrack_open_kvm_log(struct dmatrack **t,
			  const struct dmatrack_kvm_log *kvm_log);

/**
 * dmatrack_open_view() - open a view: one more reader of a container
 * @view: out: the view, as a container that has @t's mappings and no devices
 * @t: container of dmatrack.ko, in this process, or on an iommufd's page tables
 *
 * The view has a log of its own: its harvests hide no page from @t or from another view, and theirs none
 * from it. Tracking is on for it from the start, and pages that were written before are not dirty in it;
 * dmatrack_stop() switches it off, and dmatrack_start() on again, without pages. It is harvested
 * and described like @t, and copied from, which begins it anew and leaves it off; nothing can be mapped or unmapped by it, and no device attached. When @t maps or
 * unmaps, so does the view.
 *
 * A mark costs the same, however many views there are. While there are several, harvests also copy what
 * they find to the others. A container can have 64 views, its own among them (dmatrack_start()).
 * dmatrack_close() ends the view. If @t is closed first, calls on the view fail with -ENODEV.
 *
 * Return: 0; -EOPNOTSUPP (another driver than dmatrack's, or an older one), -ENOSPC (there are 64
 * views), -ENOMEM, -EMFILE.
 */
int dmatrack_open_view(struct dmatrack **view, struct dmatrack *t);

/**
 * dmatrack_close() - close a container; the last call on it
 * @t: container, or NULL
 *
 * Closes its descriptors, and those of its devices and groups. When the last descriptor
 * of the container in any process is closed, its mappings and tracking end, and pages
 * that were not harvested are forgotten. A container in this process always ends.
 */
void dmatrack_close(struct dmatrack *t);

/*
 * Name of the driver: "engine", "iommufd", "device", "process", "kvm", "dmatrack" or "stock". NULL if
 * @t is
 */
const char *dmatrack_driver(const struct dmatrack *t);

/* The container's engine, or NULL. It belongs to @t. */
struct dmatrack_engine *dmatrack_get_engine(const struct dmatrack *t);
/* Descriptor of the VFIO device that @t was opened with, or -1. It belongs to @t. */
int dmatrack_device_fd(const struct dmatrack *t);

/* IOVAs from @iova to @last, inclusive */
struct dmatrack_range {
	uint64_t iova;
	uint64_t last;
};

/* A harvest may begin and end at any page; otherwise only where mappings do. */
#define DMATRACK_INFO_ANY_RANGE (1u << 0)
/* A harvest may use page sizes above the smallest. */
#define DMATRACK_INFO_COARSE_PAGES (1u << 1)
/* A call that fails leaves all pages as dirty as before. */
#define DMATRACK_INFO_NOTHING_LOST (1u << 2)
/* dmatrack_mappings() works. */
#define DMATRACK_INFO_MAPPINGS (1u << 3)

/**
 * struct dmatrack_container_info - features and limits of a container and its driver
 * @driver: name of the driver, as from dmatrack_driver()
 * @page_sizes: bit n is set if pages of 2^n bytes can be mapped. IOVAs, addresses and
 *		sizes must be multiples of the smallest
 * @dirty_page_sizes: the same for harvests; 0: the driver can't track this container
 * @max_bitmap_size: size in bytes of the largest bitmap of a harvest; 0 if the driver
 *		     can't track
 * @mappings_left: number of mappings that may still be made; UINT32_MAX if the driver
 *		   doesn't report it
 * @flags: DMATRACK_INFO_*
 * @nr_ranges: number of @ranges
 * @ranges: IOVAs that may be mapped, ascending; none: all IOVAs
 *
 * The library allocates it, and later versions may add members at its end. It is not
 * updated: a device that joins later can reduce page sizes and ranges.
 */
struct dmatrack_container_info {
	const char *driver;
	uint64_t page_sizes;
	uint64_t dirty_page_sizes;
	uint64_t max_bitmap_size;
	uint32_t mappings_left;
	uint32_t flags;
	uint32_t nr_ranges;
	const struct dmatrack_range *ranges;
};

/**
 * dmatrack_get_info() - get the features and limits of a container
 * @t: container
 * @info: out: to be freed by dmatrack_info_free(); it stays valid when @t is closed
 *
 * Return: 0, -ENOMEM, -EPROTO (the driver's answer is invalid), or an error of the driver.
 */
int dmatrack_get_info(struct dmatrack *t,
		      struct dmatrack_container_info **info);
/* @info may be NULL. */
void dmatrack_info_free(struct dmatrack_container_info *info);

/**
 * dmatrack_attach() - open one more device in a container in the kernel, or on an iommufd
 * @t: container
 * @device: as for dmatrack_open_vfio() or dmatrack_open_iommufd(); its group must not be open
 *	    elsewhere
 *
 * Unless the device's group is in the container already, it joins, and its devices can
 * access all mapped memory. Only one thread at a time may attach or detach.
 *
 * Return: the device's descriptor, which belongs to @t; -EOPNOTSUPP (the container is in
 * this process, without an iommufd), -EINVAL (the existing mappings are not possible for its group), -EFAULT
 * (mapped memory can't be pinned), or as dmatrack_open_vfio().
 */
int dmatrack_attach(struct dmatrack *t, const char *device);

/**
 * dmatrack_detach() - close a device
 * @t: container
 * @device_fd: its descriptor, which is closed; the program must not have the device's
 *	       memory mapped any more
 *
 * A group leaves with its last device, unless dmatrack_open_group() opened it. When the
 * last group leaves, all mappings and tracking end, and the container is like a new one. One on an
 * iommufd stays as it is.
 *
 * Return: 0; -EINVAL (no device of @t has that descriptor), -EOPNOTSUPP (the container is
 * in this process, without an iommufd).
 */
int dmatrack_detach(struct dmatrack *t, int device_fd);

/**
 * dmatrack_ioctl() - make a type1 call
 * @t: container
 * @cmd: a call of <linux/vfio.h> that type1 containers have, such as VFIO_IOMMU_MAP_DMA,
 *	 or a call of <dmatrack/uapi.h>
 * @arg: as for ioctl(2): a number, or a pointer to the call's structure
 *
 * Return: the call's return value, 0 or more; or a negative errno: -ENOTTY (the driver
 * does not have the call), -EFAULT (the structure can't be accessed), or another error of
 * the call.
 */
long dmatrack_ioctl(struct dmatrack *t, unsigned long cmd, unsigned long arg);

#define DMATRACK_MAP_READ  (1u << 0)
#define DMATRACK_MAP_WRITE (1u << 1)

/**
 * dmatrack_map() - map memory for device access
 * @t: container
 * @iova: first IOVA of the mapping, page-aligned
 * @vaddr: address of the memory in this process, page-aligned; the memory must stay
 *	   there until it is unmapped
 * @size: size of the mapping in bytes, whole pages
 * @prot: access that devices have: DMATRACK_MAP_READ, DMATRACK_MAP_WRITE or both
 *
 * Return: 0; -EEXIST (the range overlaps a mapping), -EINVAL (not whole pages, no access,
 * or IOVAs that can't be mapped), -ENOSPC (the number of mappings has reached its limit),
 * -ENOMEM (no memory, or over RLIMIT_MEMLOCK), -EFAULT (there is no memory at @vaddr, it
 * can't be written, or @vaddr is NULL), -EOVERFLOW (beyond 2^64). After an error nothing
 * has changed; dmatrack_error() says which argument is wrong.
 */
int dmatrack_map(struct dmatrack *t, uint64_t iova, void *vaddr, uint64_t size,
		 unsigned int prot);

/**
 * dmatrack_unmap() - remove all mappings of a range
 * @t: container
 * @iova: first IOVA of the range, page-aligned
 * @size: size of the range in bytes, whole pages; it must not cut a mapping
 *
 * Pages that were written there and not harvested are forgotten. Succeeds if there are no
 * mappings. Waits for device writes under way, and up to about a second for drivers that
 * hold pages.
 *
 * Return: 0: no device can access the memory any more; -EINVAL (not whole pages, or a
 * mapping would be cut), -EOVERFLOW (beyond 2^64), -EBUSY (a device's driver holds pages of
 * the range and did not unpin them within about a second: the memory must stay at its
 * address, as the device may still write to it). After an error nothing has changed.
 */
int dmatrack_unmap(struct dmatrack *t, uint64_t iova, uint64_t size);

/* @vaddr of struct dmatrack_mapping is valid. */
#define DMATRACK_MAPPED_VADDR (1u << 0)
/* The mapping is in an IOMMU's page tables, so its pages are pinned. */
#define DMATRACK_MAPPED_IOMMU (1u << 1)

/**
 * struct dmatrack_mapping - one mapping
 * @iova: first IOVA
 * @last: last IOVA, inclusive
 * @vaddr: address of the memory in the process that mapped it; 0 unless @flags has
 *	   DMATRACK_MAPPED_VADDR
 * @prot: access that devices have: DMATRACK_MAP_*
 * @flags: DMATRACK_MAPPED_*; later versions may have others: ignore unknown flags
 */
struct dmatrack_mapping {
	uint64_t iova;
	uint64_t last;
	uint64_t vaddr;
	uint32_t prot;
	uint32_t flags;
};

/**
 * dmatrack_mappings() - list mappings
 * @t: container
 * @iova: the list begins with the first mapping that ends at or after this IOVA
 * @m: out: mappings in ascending order
 * @n: number of mappings that @m has room for
 *
 * Only the process that made a mapping, and processes with CAP_SYS_PTRACE, get its address.
 * Mappings that are made or removed meanwhile may be listed or not; every other one is
 * listed once.
 *
 * Return: number of mappings in @m, at most INT_MAX. If it is @n there may be more: continue
 * at the last one's @last + 1, unless that is 0. -EOPNOTSUPP (the stock driver can't list
 * mappings), -EFAULT (@m can't be written).
 */
int dmatrack_mappings(struct dmatrack *t, uint64_t iova,
		      struct dmatrack_mapping *m, unsigned int n);

/**
 * dmatrack_start() - start tracking: log the pages that devices write
 * @t: container
 *
 * Earlier writes are not logged: start first, and then copy all memory. If tracking is on
 * already, the log stays as it is.
 *
 * Return: 0; -ENOMEM; with the stock driver also -EACCES (a container of VFIO_TYPE1_IOMMU),
 * -EINVAL (there is a mapping of 8 TiB or more); on the log of a device also -EINVAL (it logs already,
 * by another caller, or can't log these IOVAs), -EOPNOTSUPP (it can't log as many bytes, or the
 * kernel can't read its log), or an error of the device; on KVM's log also -EINVAL, -EEXIST (KVM
 * refuses to log a slot), -ENXIO (it has a dirty ring in place of logs), -ENOENT (a slot has gone), or
 * another error of KVM. After an error nothing has changed.
 */
int dmatrack_start(struct dmatrack *t);

/**
 * dmatrack_stop() - stop tracking
 * @t: container
 *
 * Pages that were not harvested are forgotten. Succeeds if tracking is off already.
 *
 * Return: 0; -EACCES (with the stock driver: a container of VFIO_TYPE1_IOMMU).
 */
int dmatrack_stop(struct dmatrack *t);

/**
 * dmatrack_harvest() - read and clear the log: the pages written since the last harvest
 * @t: container; tracking must be on
 * @iova: first IOVA to harvest, page-aligned
 * @size: size of the range in bytes, whole pages; on the stock driver the range must begin
 *	  and end with mappings
 * @page_size: bytes that a bit stands for, one of @dirty_page_sizes
 * @bitmap: out: dmatrack_bitmap_size() bytes, written in full; bit 0 of word 0 is the page
 *	    at @iova
 *
 * Reported pages are clean afterwards, until they are written again. Copy them after this
 * has returned. Harvests of one container wait for each other; device writes don't wait
 * for a harvest on dmatrack's drivers.
 *
 * Return: 0; -EINVAL (not tracking, not whole pages, a page size that is not in
 * @dirty_page_sizes, or a range that the stock driver can't harvest), -EFAULT (@bitmap can't
 * be written), -EOVERFLOW (beyond 2^64). After an error, on dmatrack's drivers all pages are
 * as dirty as before; the stock driver may have lost pages: treat the whole range as dirty.
 */
int dmatrack_harvest(struct dmatrack *t, uint64_t iova, uint64_t size,
		     uint64_t page_size, uint64_t *bitmap);

/**
 * dmatrack_peek() - read the log, and leave it as it is
 * @t: container or view; tracking must be on
 * @iova: as for dmatrack_harvest()
 * @size: as for dmatrack_harvest()
 * @page_size: as for dmatrack_harvest()
 * @bitmap: out: as for dmatrack_harvest(): the pages that it would report. They stay dirty
 *
 * Return: as dmatrack_harvest(), and -EOPNOTSUPP (not a container of dmatrack's drivers).
 */
int dmatrack_peek(struct dmatrack *t, uint64_t iova, uint64_t size,
		  uint64_t page_size, uint64_t *bitmap);

/* The pages that are reported stay dirty. */
#define DMATRACK_RANGES_PEEK (1u << 0)

/**
 * struct dmatrack_ranges - a range to harvest, and a function that gets the dirty ranges
 * @size: sizeof(struct dmatrack_ranges); for other values see dmatrack(7)
 * @iova: first IOVA to harvest, page-aligned
 * @length: number of bytes to harvest, whole pages
 * @page_size: page size in bytes, as for dmatrack_harvest()
 * @opaque: first argument of @found
 * @found: called for each dirty range, with its first IOVA and its size in bytes, in the calling
 *	   thread, with no lock held. Ranges come in ascending order, and are not adjacent. It may
 *	   make any call on the container except dmatrack_close()
 * @flags: DMATRACK_RANGES_*
 */
struct dmatrack_ranges {
	size_t size;
	uint64_t iova;
	uint64_t length;
	uint64_t page_size;
	void *opaque;
	void (*found)(void *opaque, uint64_t iova, uint64_t size);
	uint64_t flags;
};

/**
 * dmatrack_harvest_ranges() - harvest, and call a function for each dirty range
 * @t: container; tracking must be on
 * @ranges: the range and the function
 *
 * Clean and unmapped memory costs next to nothing, so the whole address space may be
 * harvested, in 32 KiB of memory. An older dmatrack driver without DMATRACK_GET_RANGES is
 * harvested with bitmaps of 32 KiB; the stock driver with one bitmap of the whole range.
 * Pages that were passed to @found are clean from then on, even if the call fails later.
 *
 * Return: as dmatrack_harvest(), and -ENOMEM (nothing was harvested), -EOPNOTSUPP
 * (DMATRACK_RANGES_PEEK, and not a container of dmatrack's drivers), -E2BIG (@ranges has a
 * member that this library doesn't know, and that is not 0).
 */
int dmatrack_harvest_ranges(struct dmatrack *t,
			    const struct dmatrack_ranges *ranges);

/* Bytes of a bitmap for @size bytes in pages of @page_size: whole words of 64 bits */
size_t dmatrack_bitmap_size(uint64_t size, uint64_t page_size);

/**
 * dmatrack_next_run() - find the next run of set bits in a bitmap
 * @bitmap: words of 64 bits
 * @nbits: number of bits; later bits of the last word are ignored
 * @pos: in: number of the first bit to search; out: number of the run's first bit
 * @len: out: number of adjacent set bits from there on
 *
 * Continue at @pos + @len.
 *
 * Return: true: a run was found; false: there are no more, and @pos and @len are not changed.
 */
bool dmatrack_next_run(const uint64_t *bitmap, uint64_t nbits, uint64_t *pos,
		       uint64_t *len);

/**
 * dmatrack_bitmap_merge() - set the bits of a bitmap that are set in another
 * @to: words of 64 bits, at least @at + @nbits bits; bits that are set stay set
 * @at: number of the bit of @to that the first bit of @from is merged into
 * @from: words of 64 bits; bits of its last word beyond @nbits are ignored
 * @nbits: number of bits to merge
 *
 * The layout is that of dmatrack_harvest(), and on little-endian machines that of
 * KVM_GET_DIRTY_LOG: merge a memory slot's log at the bit where the slot begins. No other
 * thread may read or write the changed words of @to meanwhile, or write to @from.
 */
void dmatrack_bitmap_merge(uint64_t *to, uint64_t at, const uint64_t *from,
			   uint64_t nbits);

/* Number of bits that are set among the first @nbits bits of @bitmap */
uint64_t dmatrack_bitmap_count(const uint64_t *bitmap, uint64_t nbits);

#ifdef __cplusplus
}
#endif

#endif

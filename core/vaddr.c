// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Vaddr: invalidate the addresses of mappings, and set new ones. */
#include "unmap.h"
#include "vaddr.h"

/* Compute the bytes of the mappings that begin in [iova, last], if all addresses are valid. */
static int count_valid(struct dmt_container *c, u64 iova, u64 last, u64 *bytes)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		if (m->invalid)
			return -EINVAL;
		*bytes += dmt_mapping_span(m) + 1;
	}
	return 0;
}

/* Make the addresses of the mappings that begin in [iova, last] invalid, or valid again. */
static void set_invalid(struct dmt_container *c, u64 iova, u64 last,
			bool invalid)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m = dmt_space_first(&c->space, iova, &it);

	for (; m && m->iova <= last; m = dmt_space_next(&c->space, &it)) {
		if (m->invalid == invalid)
			continue;
		m->invalid = invalid;
		smp_store_release(&c->nr_invalid,
				  c->nr_invalid + (invalid ? 1 : -1));
	}
}

/* @c->drain_lock and @c->lock are held; the latter is dropped while operations end. */
static int invalidate_locked(struct dmt_container *c, u64 iova, u64 last,
			     bool all, u64 __user *size)
{
	u64 end, bytes = 0;
	int none, err;

	if (c->nr_emulated)
		return -EBUSY;
	if (!dmt_container_is_aligned(c, iova, last))
		return -EINVAL;
	none = dmt_unmap_check(c, &iova, last, all, &end);
	if (none && none != -ENOENT)
		return none;
	err = none ? 0 : count_valid(c, iova, end, &bytes);
	if (!err &&
	    dmt_copy_to_user_nofault(c->host, size, &bytes, sizeof(bytes)))
		err = -EAGAIN;
	if (err || none)
		return err;

	set_invalid(c, iova, end, true);
	dmt_container_unlock(c);
	/* Operations that began before may use the addresses until here. */
	err = dmt_gate_drain_killable(&c->gate);
	dmt_container_lock(c);
	if (err)
		set_invalid(c, iova, end, false);
	return err;
}

static int invalidate_once(struct dmt_container *c, u64 iova, u64 last,
			   bool all, u64 __user *size)
{
	int err = dmt_container_lock_drain(c);

	if (err)
		return err;
	err = invalidate_locked(c, iova, last, all, size);
	dmt_container_unlock_drain(c);
	return err;
}

int dmt_vaddr_invalidate(struct dmt_container *c, u64 iova, u64 last, bool all,
			 u64 __user *size)
{
	int err;

	do {
		err = invalidate_once(c, iova, last, all, size);
		if (err != -EAGAIN)
			return err;
		err = dmt_unmap_size(c, iova, last, size);
	} while (!err);
	return err;
}

/* Account the pinned pages of @m to the caller from now on. */
static int change_owner(struct dmt_mapping *m)
{
	long npages = dmt_mapping_accounted(m);
	struct dmt_owner owner;
	int err;

	if (dmt_owner_is_caller(&m->owner))
		return 0;
	err = dmt_owner_init(&owner, m->host);
	if (err)
		return err;
	err = dmt_owner_account(&owner, npages);
	if (err == -ENOMEM)
		dmt_owner_over_limit(&owner, "taking a mapping over");
	if (err) {
		dmt_owner_fini(&owner);
		return err;
	}
	dmt_owner_account(&m->owner, -npages);
	dmt_owner_fini(&m->owner);
	m->owner = owner;
	return 0;
}

static int update_vaddr_locked(struct dmt_container *c, u64 iova, u64 last,
			       u64 vaddr)
{
	struct dmt_space_iter it;
	struct dmt_mapping *m;
	int err;

	if (!dmt_container_is_aligned(c, iova | vaddr, last))
		return -EINVAL;
	m = dmt_space_first(&c->space, iova, &it);
	if (!m || m->iova > last)
		return -ENOENT;
	if (!m->invalid || m->iova != iova || m->last != last)
		return -EINVAL;
	err = change_owner(m);
	if (err)
		return err;
	m->vaddr = vaddr;
	m->invalid = false;
	m->since = ++c->changes;
	/* An operation that reads 0 here reads the new addresses. */
	smp_store_release(&c->nr_invalid, c->nr_invalid - 1);
	return 0;
}

int dmt_vaddr_update(struct dmt_container *c, u64 iova, u64 last, u64 vaddr)
{
	int err = dmt_container_lock_drain(c);

	if (err)
		return err;
	err = update_vaddr_locked(c, iova, last, vaddr);
	dmt_container_unlock_drain(c);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * Thousands of random calls, each compared with a simple model of the rules: return
 * value, bytes, every bit. The order is always the same; a mismatch ends the case and
 * names the call. See test/exact.
 */
#include "conform.h"
#include "test/exact/exact.h"
#include "test/exact/model.h"

static void run_model(u64 base, bool plain, bool views, unsigned long calls,
		      u64 seed)
{
	struct exact_setup setup = {
		.t = bed.t,
		.d = bed.d,
		.base = base,
		.plain = plain,
		.views = views,
		.calls = calls,
		.seed = seed,
		.refused = true,
	};
	char why[EXACT_WHY];
	unsigned long n = exact_run(&setup, why);

	conform_context("call %lu", n);
	conform_check(__FILE__, __LINE__, !*why, "%s", why);
}

CASE(model_full, EMULATED)
{
	run_model(BASE, false, false, 20000, 1);
}

/* Views come and go, and harvest in turn. */
CASE(model_views, EMULATED)
{
	run_model(BASE, false, true, 40000, 4);
}

/* The window ends with the last IOVA. */
CASE(model_last_iova, EMULATED)
{
	run_model(-MODEL_WINDOW * PAGE, false, false, 5000, 2);
}

/* Check the model itself: it agrees with what the stock driver promises. */
CASE(model_plain, EMULATED)
{
	run_model(BASE, true, false, 20000, 3);
}

/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Draws a screen: see screen.h. */
#ifndef CLI_WATCH_PANEL_H
#define CLI_WATCH_PANEL_H

#include "screen.h"

enum panel_colour {
	PANEL_PLAIN,
	PANEL_HOT,
	PANEL_WARM,
	PANEL_COOL,
	PANEL_COLD,
};

/* Draw all of @s. Return: 0 or -ENOMEM */
int panel_draw(struct screen *s);

#endif

// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* What 'dmatrack watch' foretells of a migration, from outside, before it begins */
#include <stdio.h>
#include <string.h>

#include "migrate.h"

void foretell(pid_t pid, unsigned int seconds, unsigned long bandwidth,
	      unsigned int downtime, struct foretold *f)
{
	char command[256], line[4096];
	bool known;
	FILE *p;

	snprintf(command, sizeof(command),
		 "dmatrack watch --json --pid %d --count 1 --interval %u "
		 "--bandwidth %lu --downtime %u",
		 (int)pid, seconds * 1000, bandwidth, downtime);
	p = popen(command, "r");
	NEED(p);
	known = fgets(line, sizeof(line), p);
	NEED(!pclose(p));
	NEED(known);
	*f = (struct foretold){
		.ends = strstr(line, "\"ends\": true"),
		.rounds = json_number(line, "migration", "rounds"),
		.bytes = json_number(line, "migration", "bytes"),
		.ms = json_number(line, "migration", "time_ns") / 1000000,
	};
}

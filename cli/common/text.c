// SPDX-License-Identifier: GPL-2.0-only OR MIT
/* Numbers as text: see cli.h. */
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "cli.h"

static bool parse(const char *text, uint64_t *value, char **end)
{
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, end, 0);
	return !errno;
}

bool cli_text_parse_number(const char *text, uint64_t *value)
{
	char *end;

	return parse(text, value, &end) && !*end;
}

bool cli_text_parse_size(const char *text, uint64_t *value)
{
	static const char units[] = "KMGT";
	const char *unit;
	char *end;

	if (!parse(text, value, &end))
		return false;
	if (!*end)
		return true;
	unit = strchr(units, toupper((unsigned char)*end));
	if (!unit || (end[1] && strcmp(end + 1, "i") && strcmp(end + 1, "iB") &&
		      strcmp(end + 1, "B")))
		return false;
	return !__builtin_mul_overflow(
		*value, 1ull << (10 * (unit - units + 1)), value);
}

char *cli_text_count(char *buf, uint64_t n)
{
	char digits[CLI_TEXT];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), i;
	char *to = buf;

	for (i = 0; i < len; i++) {
		if (i && !((len - i) % 3))
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buf;
}

char *cli_text_size(char *buf, uint64_t bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	unsigned int i = 0;

	while (value >= 1023.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		i++;
	}
	if (i && value < 9.95 && bytes % (1ull << (10 * i)))
		snprintf(buf, CLI_TEXT, "%.1f %s", value, units[i]);
	else
		snprintf(buf, CLI_TEXT, "%.0f %s", value, units[i]);
	return buf;
}

char *cli_text_time(char *buf, uint64_t ns)
{
	static const char *const units[] = { "ns", "us", "ms", "s" };
	double value = (double)ns;
	unsigned int i = 0;

	while (value >= 999.5 && i + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1000;
		i++;
	}
	snprintf(buf, CLI_TEXT, i && value < 9.95 ? "%.1f %s" : "%.0f %s",
		 value, units[i]);
	return buf;
}

char *cli_text_printable(char *buf, size_t size, const char *text)
{
	size_t length = strlen(text), at = 0, n;
	mbstate_t state = { 0 };
	wchar_t c;

	for (; length; text += n, length -= n) {
		bool good;

		n = mbrtowc(&c, text, length, &state);
		good = n && n <= length && iswprint((wint_t)c);
		if (!n || n > length) {
			memset(&state, 0, sizeof(state));
			n = 1;
		}
		if (at + (good ? n : 1) >= size)
			break;
		if (good)
			memcpy(buf + at, text, n);
		else
			buf[at] = '?';
		at += good ? n : 1;
	}
	buf[at] = '\0';
	return buf;
}

void cli_text_wrap(unsigned int column, const char *head, unsigned int indent,
		   const char *text)
{
	bool commands = strchr(text, '\n');
	bool first = true;
	int len;

	column += (unsigned int)printf("%s", head);
	for (; *text; text += len) {
		len = (int)strcspn(text, " \n");
		if (!first && column + 1 + (unsigned int)len > 77)
			column =
				(unsigned int)printf("\n%*s", (int)indent, "") -
				1;
		else if (!first)
			column += (unsigned int)printf(" ");
		column += (unsigned int)printf("%.*s", len, text);
		text += len;
		first = *text == '\n';
		if (first)
			column =
				(unsigned int)printf("\n%*s", (int)indent, "") -
				1;
		len = *text ? 1 : 0;
	}
	puts(commands ? "" : ".");
}

char *cli_text_digest(char *buf, const uint8_t digest[CLI_DIGEST])
{
	unsigned int i;

	for (i = 0; i < CLI_DIGEST; i++)
		sprintf(buf + 2 * i, "%02x", digest[i]);
	return buf;
}

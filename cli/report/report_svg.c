// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The picture: heat map and charts, one above the other on one time axis, and over
 * each column a rectangle without colour that says its figures when it's pointed at.
 * Nothing outside the file is referred to, and nothing runs in it.
 *
 * Colours are plain CSS without variables, for viewers that are no browsers: light,
 * and again for those who like it dark. On paper it's light. The heat's colours are
 * viridis: even steps of lightness, and told apart by the colour-blind.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

#define LINE_CHARS	128	/* of a summary's line */
#define LINE_HEIGHT	20

/* Style */

static const char *const viridis[REPORT_LEVELS] = {
	"#440154", "#482173", "#433e85", "#38598c", "#2d708e", "#25858e",
	"#1e9b8a", "#2bb07f", "#51c56a", "#85d54a", "#c2df23", "#fde725",
};

static const char common[] =
"svg text{font:12px system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif}\n"
"svg .title{font-size:14px;font-weight:600}\n"
"svg .head{font-size:18px;font-weight:600}\n"
"svg .line{font-size:14px}\n"
"svg .small,svg .soft{font-size:11px}\n"
"svg .mono{font:11px ui-monospace,\"DejaVu Sans Mono\",monospace}\n"
".heat path,.heat rect{shape-rendering:crispEdges}\n"
".predicted,.rate,.dirty,.limit,.ring{fill:none}\n"
".tick,.grid,.frame,.hole{stroke-width:1;shape-rendering:crispEdges}\n"
".swatch{stroke-width:10}\n"
".rate{stroke-width:2}\n"
".dirty{stroke-width:2.5;stroke-dasharray:5 2}\n"
".predicted{stroke-width:2}\n"
".limit{stroke-width:1.5;stroke-dasharray:2 3}\n"
".ring{stroke-width:2}\n"
".halo{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}\n"
".hole{stroke-dasharray:4 3}.under{stroke-width:3;shape-rendering:crispEdges}\n"
".over{fill:transparent}\n";

static const char light[] =
"svg text{fill:#1c2126}\n"
"svg .soft,svg .small{fill:#565f69}\n"
".page{fill:#fff}.frame{fill:none}.none{fill:#f6f7f8}.blank{fill:url(#hatch)}.stripe{stroke:#c9ced4}\n"
".frame,.tick{stroke:#8a939c}.grid{stroke:#e3e6e9}\n"
".seam{stroke:#fff;stroke-opacity:.55}.hole{stroke:#c4161c}.under{stroke:#fff}\n"
".sent{fill:#0072b2}.same{fill:#a9b2ba}.zero{fill:#e0bd3a}\n"
".swatch.sent,.rate{stroke:#0072b2}.swatch.same{stroke:#a9b2ba}.swatch.zero{stroke:#e0bd3a}\n"
".dirty,.predicted{stroke:#c04f00}.point{fill:#c04f00}\n"
".limit{stroke:#1c2126}.ring{stroke:#007a5a}.fact{fill:#007a5a}.swatch.fact{stroke:#007a5a}\n"
"svg .halo{fill:#007a5a;stroke:#fff}\n"
".over:hover{fill:#000;fill-opacity:.07}\n";

static const char dark[] =
"svg text{fill:#e2e6ea}\n"
"svg .soft,svg .small{fill:#a3adb7}\n"
".page{fill:#14181c}.frame{fill:none}.none{fill:#050607}.blank{fill:url(#hatch)}.stripe{stroke:#3a424a}\n"
".frame,.tick{stroke:#76808a}.grid{stroke:#2a3138}\n"
".seam{stroke:#000;stroke-opacity:.5}.hole{stroke:#ff6b6b}.under{stroke:#000}\n"
".sent{fill:#4aa8e0}.same{fill:#6b757f}.zero{fill:#d9b93b}\n"
".swatch.sent,.rate{stroke:#4aa8e0}.swatch.same{stroke:#6b757f}.swatch.zero{stroke:#d9b93b}\n"
".dirty,.predicted{stroke:#f08c3c}.point{fill:#f08c3c}\n"
".limit{stroke:#e2e6ea}.ring{stroke:#3ecf9f}.fact{fill:#3ecf9f}.swatch.fact{stroke:#3ecf9f}\n"
"svg .halo{fill:#3ecf9f;stroke:#14181c}\n"
".over:hover{fill:#fff;fill-opacity:.1}\n";

static void style_heat(FILE *out, bool dark_first)
{
	int i;

	for (i = 0; i < REPORT_LEVELS; i++)
		fprintf(out, ".heat .l%d{stroke:%s}", i + 1,
			viridis[dark_first ? i : REPORT_LEVELS - 1 - i]);
	fputc('\n', out);
}

void report_style(FILE *out)
{
	fputs(common, out);
	fputs(light, out);
	style_heat(out, false);
	fputs("@media screen and (prefers-color-scheme:dark){\n", out);
	fputs(dark, out);
	style_heat(out, true);
	fputs("}\n", out);
}

/* What a column says when it's pointed at */

static void say_found(const struct report *r, unsigned int round, FILE *out)
{
	const struct record_round *o = &r->file->round[round];
	char count[CLI_TEXT], rate[CLI_TEXT];

	fprintf(out, "&#10;written in this time: %s pages (%.3g %%), %s",
		cli_text_count(count, o->dirty),
		100.0 * (double)o->dirty / (double)r->file->pages,
		report_format_rate(rate, report_dirty_rate(r, round)));
}

static void say_sent(const struct record_round *o, FILE *out)
{
	char a[CLI_TEXT];

	fprintf(out, "&#10;sent: %s", report_format_bytes(a, (double)o->bytes));
	if (o->rate)
		fprintf(out, " at %s", report_format_rate(a, (double)o->rate));
	if (o->zero)
		fprintf(out, "&#10;zero: %s pages", cli_text_count(a, o->zero));
	if (o->same)
		fprintf(out, "&#10;unchanged: %s pages",
			cli_text_count(a, o->same));
	if (o->kind != RECORD_LAST && o->downtime != UINT64_MAX)
		fprintf(out, "&#10;predicted downtime: %s",
			report_format_time(a, (double)o->downtime));
}

static void say_column(const struct report *r, const struct report_column *c,
		       FILE *out)
{
	const struct record_round *o = &r->file->round[c->first];
	char a[CLI_TEXT], b[CLI_TEXT];

	fprintf(out, "round %s", report_round_name(r, c->first, a));
	if (c->count > 1)
		fprintf(out, " to %s", report_round_name(r,
				c->first + c->count - 1, a));
	fprintf(out, ", %s to %s", report_format_time(a, (double)c->begin),
		report_format_time(b, (double)c->end));
	if (c->count > 1)
		return;
	say_sent(o, out);
	if (c->stopped)
		fputs("&#10;devices stood still", out);
	else if (c->written)
		say_found(r, c->first + 1, out);
}

static void draw_overlay(const struct report *r, FILE *out, double top,
			 double bottom)
{
	unsigned int i;

	for (i = 0; i < r->ncolumns; i++) {
		const struct report_column *c = &r->column[i];

		fprintf(out, "<rect class=\"over\" x=\"%.1f\" y=\"%g\" width=\"%.1f\" height=\"%g\"><title>",
			c->x, top, c->width, bottom - top);
		say_column(r, c, out);
		fputs("</title></rect>\n", out);
	}
}

/* Words */

/* Characters of the XML text at @p up to @end: an entity is one */
static unsigned int width_of(const char *p, const char *end)
{
	unsigned int n = 0;

	for (; p < end; p++) {
		if ((*p & 0xc0) == 0x80)
			continue;
		n++;
		if (*p == '&')
			p += strcspn(p, ";");
	}
	return n;
}

/* Escaped text in lines. Return: the y of the next line */
static double draw_lines(FILE *out, double y, char *text)
{
	char *line = text, *space = NULL, *p;

	for (p = text; ; p++) {
		if (*p && *p != ' ')
			continue;
		if (space && (!*p || *p == ' ') &&
		    width_of(line, p) > LINE_CHARS) {
			fprintf(out, "<text class=\"line\" x=\"24\" y=\"%g\">%.*s</text>\n",
				y, (int)(space - line), line);
			y += LINE_HEIGHT;
			line = space + 1;
		}
		space = p;
		if (!*p)
			break;
	}
	fprintf(out, "<text class=\"line\" x=\"24\" y=\"%g\">%s</text>\n", y,
		line);
	return y + LINE_HEIGHT;
}

static double draw_sentence(const struct report *r, FILE *out, double y,
			    void (*say)(const struct report *r, FILE *out))
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);

	if (!to)
		return y;
	say(r, to);
	if (!fclose(to))
		y = draw_lines(out, y, text);
	free(text);
	return y;
}

static void say_facts(const struct report *r, FILE *out)
{
	struct report_fact fact[REPORT_FACTS];
	unsigned int i, n = report_facts(r, fact);

	for (i = 0; i < n; i++)
		fprintf(out, "%s%s: %s", i ? ". " : "", fact[i].name,
			fact[i].value);
	fputc('.', out);
}

static double draw_head(const struct report *r, FILE *out)
{
	double y;

	fputs("<text class=\"head\" x=\"24\" y=\"38\">", out);
	report_escape(out, r->title, 60);
	fputs("</text>\n", out);
	y = draw_sentence(r, out, 66, report_say_run);
	y = draw_sentence(r, out, y, report_say_end);
	return draw_sentence(r, out, y, say_facts) + 8;
}

/* All of it */

static double draw_notes(const struct report *r, FILE *out, double y)
{
	if (r->stretched) {
		fprintf(out, "<text class=\"soft\" x=\"%g\" y=\"%g\">The shortest rounds are drawn wider than their time.</text>\n",
			REPORT_LEFT, y);
		y += 16;
	}
	if (r->group > 1) {
		fprintf(out, "<text class=\"soft\" x=\"%g\" y=\"%g\">A column stands for %u rounds: the most that was written in any of them, the mean of what was sent.</text>\n",
			REPORT_LEFT, y, r->group);
		y += 16;
	}
	return y;
}

static double draw_body(const struct report *r, FILE *out, bool alone)
{
	double y = alone ? draw_head(r, out) : 10, top, bottom;

	if (!r->ncolumns) {
		fprintf(out, "<text class=\"line\" x=\"24\" y=\"%g\">No round had ended: there's nothing to draw.</text>\n",
			y + 20);
		return y + 40;
	}
	top = y + 76;
	y = report_heat(r, out, y) + 26;
	y = report_bytes(r, out, y) + 26;
	y = report_rates(r, out, y) + 26;
	bottom = y = report_downtimes(r, out, y);
	y = draw_notes(r, out, y + 20);
	draw_overlay(r, out, top, bottom - 24);
	return y + 10;
}

static const char hatch[] =
"<defs><pattern id=\"hatch\" width=\"7\" height=\"7\" patternUnits=\"userSpaceOnUse\" patternTransform=\"rotate(45)\"><path class=\"stripe\" stroke-width=\"2\" d=\"M0 0v7\"/></pattern></defs>\n";

void report_svg(const struct report *r, FILE *out, bool alone)
{
	char *body = NULL;
	size_t size;
	FILE *to = open_memstream(&body, &size);
	double height;

	if (!to)
		return;
	height = draw_body(r, to, alone);
	if (fclose(to)) {
		free(body);
		return;
	}
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"dirty pages over time and address, bytes a round, rates, downtime\"",
		REPORT_WIDTH, height);
	if (alone)
		fprintf(out, " width=\"%d\" height=\"%.0f\"", REPORT_WIDTH,
			height);
	fputs(">\n", out);
	if (alone) {
		fputs("<style>\n", out);
		report_style(out);
		fputs("</style>\n", out);
	}
	fputs(hatch, out);
	fprintf(out, "<rect class=\"page\" width=\"%d\" height=\"%.0f\"/>\n",
		REPORT_WIDTH, height);
	fwrite(body, 1, size, out);
	fputs("</svg>\n", out);
	free(body);
}

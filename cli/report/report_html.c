// SPDX-License-Identifier: GPL-2.0-only OR MIT
/*
 * The page around the picture: a summary above, a table of rounds below. One file
 * that can be kept, mailed and printed; well-formed as XML, too.
 */
#include <inttypes.h>

#include "report.h"

#define ROWS	600u	/* of the table, at the most */

static const char style[] =
"body{margin:0 auto;max-width:1100px;padding:20px 24px 40px;font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",\"DejaVu Sans\",sans-serif;color:#1c2126;background:#fff}\n"
"h1{font-size:24px;line-height:1.25;margin:8px 0 12px;overflow-wrap:anywhere}\n"
"h2{font-size:17px;margin:28px 0 8px}\n"
"p{margin:6px 0;max-width:92ch;overflow-wrap:anywhere}\n"
".verdict{font-weight:600}\n"
".bad{color:#b3261e}\n"
"dl{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0}\n"
"dl div{border:1px solid #d5dade;border-radius:6px;padding:6px 12px}\n"
"dt{font-size:12px;color:#565f69}dd{margin:0;font-weight:600;font-variant-numeric:tabular-nums}\n"
".wide{overflow-x:auto}\n"
".wide svg{display:block;width:100%;min-width:820px;height:auto}\n"
"table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap}\n"
"th,td{text-align:right;padding:3px 8px;border-bottom:1px solid #e3e6e9}\n"
"th{font-weight:600;vertical-align:bottom;border-bottom-color:#8a939c}\n"
"footer{margin-top:24px;font-size:12px;color:#565f69}\n";

static const char style_dark[] =
"@media screen and (prefers-color-scheme:dark){\n"
"body{color:#e2e6ea;background:#14181c}.bad{color:#ff8a80}\n"
"dl div{border-color:#3a424a}dt,footer{color:#a3adb7}\n"
"th,td{border-bottom-color:#2a3138}th{border-bottom-color:#76808a}\n"
"}\n"
"@media print{body{padding:0;max-width:none;font-size:11px}.wide{overflow:visible}"
".wide svg{min-width:0;break-inside:avoid}table{font-size:8px}th,td{padding:2px 4px}tr,dl div{break-inside:avoid}}\n";

static void put_head(const struct report *r, FILE *out)
{
	fputs("<!DOCTYPE html>\n"
	      "<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\">\n<head>\n"
	      "<meta charset=\"utf-8\"/>\n"
	      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
	      "<meta name=\"color-scheme\" content=\"light dark\"/>\n"
	      "<title>", out);
	report_escape(out, r->title, 100);
	fputs("</title>\n<style>\n", out);
	fputs(style, out);
	report_style(out);
	fputs(style_dark, out);
	fputs("</style>\n</head>\n", out);
}

static bool is_bad(const struct record_file *f)
{
	return !f->whole || f->end.result == RECORD_DIFFERS ||
	       f->end.result == RECORD_FAILED;
}

static void put_summary(const struct report *r, FILE *out)
{
	struct report_fact fact[REPORT_FACTS];
	unsigned int i, n = report_facts(r, fact);

	fputs("<h1>", out);
	report_escape(out, r->title, 200);
	fputs("</h1>\n<p>", out);
	report_say_run(r, out);
	fprintf(out, "</p>\n<p class=\"verdict%s\">",
		is_bad(r->file) ? " bad" : "");
	report_say_end(r, out);
	fputs("</p>\n<dl>\n", out);
	for (i = 0; i < n; i++)
		fprintf(out, "<div><dt>%s</dt><dd>%s</dd></div>\n",
			fact[i].name, fact[i].value);
	fputs("</dl>\n", out);
}

/* The table. Columns that no round has anything for are left out. */

/**
 * struct table - which columns there are
 * @zero: pages that were zero
 * @same: unchanged pages
 * @left: what was left
 * @downtime: what was predicted
 */
struct table {
	bool zero;
	bool same;
	bool left;
	bool downtime;
};

static struct table choose_columns(const struct record_file *f)
{
	struct table t = { .same = f->run.refine };
	unsigned int i;

	for (i = 0; i < f->nrounds; i++) {
		const struct record_round *o = &f->round[i];

		t.zero |= o->zero;
		t.same |= o->same;
		t.left |= o->left != UINT64_MAX;
		t.downtime |= o->downtime != UINT64_MAX;
	}
	return t;
}

static void put_heads(const struct table *t, FILE *out)
{
	fputs("<thead><tr><th>Round</th><th>Began at</th><th>Took</th><th>Dirty pages</th><th>of all</th><th>Dirty rate</th><th>Sent pages</th>",
	      out);
	if (t->zero)
		fputs("<th>Zero</th>", out);
	if (t->same)
		fputs("<th>Unchanged</th>", out);
	fputs("<th>Sent</th><th>Bandwidth</th>", out);
	if (t->left)
		fputs("<th>Left</th>", out);
	if (t->downtime)
		fputs("<th>Predicted<br/>downtime</th>", out);
	fputs("</tr></thead>\n", out);
}

static void put_cell(FILE *out, const char *text)
{
	fprintf(out, "<td>%s</td>", text);
}

static void put_count(FILE *out, bool wanted, uint64_t n)
{
	char text[CLI_TEXT];

	if (wanted)
		put_cell(out, cli_text_count(text, n));
}

static void put_found(const struct report *r, unsigned int i, FILE *out)
{
	const struct record_round *o = &r->file->round[i];
	char text[CLI_TEXT];

	if (o->kind == RECORD_FULL) {
		fputs("<td>all</td><td></td><td></td>", out);
		return;
	}
	put_count(out, true, o->dirty);
	fprintf(out, "<td>%.3g %%</td>",
		100.0 * (double)o->dirty / (double)r->file->pages);
	put_cell(out, report_format_rate(text, report_dirty_rate(r, i)));
}

static void put_row(const struct report *r, unsigned int i,
		    const struct table *t, FILE *out)
{
	const struct record_round *o = &r->file->round[i];
	bool last = o->kind == RECORD_LAST;
	char text[CLI_TEXT];

	fputs("<tr>", out);
	put_cell(out, report_round_name(r, i, text));
	put_cell(out, report_format_time(text, (double)o->begin));
	put_cell(out, report_format_time(text, (double)(o->end - o->begin)));
	put_found(r, i, out);
	put_count(out, true, o->sent);
	put_count(out, t->zero, o->zero);
	put_count(out, t->same, o->same);
	put_cell(out, report_format_bytes(text, (double)o->bytes));
	put_cell(out, o->rate ? report_format_rate(text, (double)o->rate) : "");
	if (t->left)
		put_cell(out, o->left == UINT64_MAX || last ? "" :
			 report_format_bytes(text, (double)o->left));
	if (t->downtime)
		put_cell(out, o->downtime == UINT64_MAX || last ? "" :
			 report_format_time(text, (double)o->downtime));
	fputs("</tr>\n", out);
}

static void put_table(const struct report *r, FILE *out)
{
	struct table t = choose_columns(r->file);
	unsigned int i, n = r->file->nrounds;
	char text[CLI_TEXT];

	if (!n)
		return;
	fputs("<h2>Rounds</h2>\n<div class=\"wide\"><table>\n", out);
	put_heads(&t, out);
	fputs("<tbody>\n", out);
	for (i = 0; i < n; i++) {
		if (n > ROWS && i == ROWS / 2) {
			i = n - ROWS / 2;
			fprintf(out, "<tr><td colspan=\"13\" style=\"text-align:left\">%s rounds are left out here</td></tr>\n",
				cli_text_count(text, n - ROWS / 2 * 2));
		}
		put_row(r, i, &t, out);
	}
	fputs("</tbody>\n</table></div>\n", out);
}

void report_html(const struct report *r, FILE *out)
{
	put_head(r, out);
	fputs("<body>\n", out);
	put_summary(r, out);
	fputs("<div class=\"wide\">\n", out);
	report_svg(r, out, false);
	fputs("</div>\n", out);
	put_table(r, out);
	fprintf(out, "<footer>Point at a column for its figures. Drawn by dmatrack report, version %s.</footer>\n</body>\n</html>\n",
		CLI_VERSION);
}

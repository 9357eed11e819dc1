/* plot.c - draws what four programs get over time, of which one is killed and one's partition ends. */
/* SPDX-License-Identifier: Apache-2.0 */
#include "contest.h"

#include <stdio.h>
#include <stdlib.h>

#include "cleanup.h"

enum {
	PLOTTED = 4,
	SAMPLE_MS = 250,
	SAMPLES = 48,
	KILL_AT = SAMPLES / 3,    /* the second is killed */
	END_AT = SAMPLES * 2 / 3, /* and the third's partition ends */
	WIDTH = 720,
	HEIGHT = 320, /* of one mode */
	LEFT = 50,
	TOP = 30,
};

static const struct worker plotted[PLOTTED] = { WORKER(40, 1), WORKER(30, 1),
	WORKER(20, 1), WORKER(10, 1) };
static const char *const colours[PLOTTED] = { "#1b6ca8", "#c4472b", "#2e8b57",
	"#8a5fb0" };
static const char *const fates[PLOTTED] = { "", ", killed", ", partition ended", "" };

typedef double course[SAMPLES][PLOTTED];

static double plot_x(double sample)
{
	return LEFT + sample * (WIDTH - LEFT - 20) / SAMPLES;
}

static double plot_y(double share)
{
	return TOP + (0.5 - share) * (HEIGHT - TOP - 40) / 0.5;
}

static void draw_frame(FILE *f, const char *title)
{
	fprintf(f, "<text x=\"%d\" y=\"16\" font-weight=\"bold\">%s</text>\n", LEFT,
		title);
	for (int i = 0; i <= 5; i++)
		fprintf(f,
			"<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/>"
			"<text x=\"8\" y=\"%.1f\">%d %%</text>\n",
			LEFT, plot_y(i * 0.1), WIDTH - 20, plot_y(i * 0.1) + 4, i * 10);
	for (int i = 0; i <= SAMPLES; i += 8)
		fprintf(f, "<text x=\"%.1f\" y=\"%d\">%d s</text>\n", plot_x(i) - 6,
			HEIGHT - 22, i * SAMPLE_MS / 1000);
}

static void draw_line(FILE *f, course share, int i)
{
	fprintf(f, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"",
		colours[i]);
	for (int n = 0; n < SAMPLES; n++)
		fprintf(f, "%.1f,%.1f ", plot_x(n + 0.5), plot_y(share[n][i]));
	fprintf(f, "\"/>\n<text x=\"%.1f\" y=\"%.1f\" fill=\"%s\">share %u %%%s</text>\n",
		plot_x(0.5), plot_y(plotted[i].hundredths / 100.0) - 6, colours[i],
		plotted[i].hundredths, fates[i]);
}

/* The modes one below the other. */
static void draw(const char *path, course *shares)
{
	static const char *const titles[] = {
		[COOPERATIVE] = "cooperative", [ARBITRATED] = "arbitrated"
	};
	FILE *f = fopen(path, "w");

	if (!f)
		die("write", path);
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
		WIDTH, 2 * HEIGHT);
	for (int mode = COOPERATIVE; mode < MODES; mode++) {
		fprintf(f, "<g transform=\"translate(0 %d)\">\n",
			(mode - COOPERATIVE) * HEIGHT);
		draw_frame(f, titles[mode]);
		for (int i = 0; i < PLOTTED; i++)
			draw_line(f, shares[mode], i);
		fprintf(f, "</g>\n");
	}
	fprintf(f,
		"<text x=\"%d\" y=\"%d\">Device time of each program, of every %d ms"
		"</text>\n</svg>\n",
		LEFT, 2 * HEIGHT - 6, SAMPLE_MS);
	if (fclose(f) != 0)
		die("write", path);
}

static void follow(struct contest *c, course share)
{
	struct standing before, now;

	contest_look(c, &before);
	for (int n = 0; n < SAMPLES; n++) {
		sleep_ms(SAMPLE_MS);
		contest_look(c, &now);
		for (int i = 0; i < PLOTTED; i++)
			share[n][i] = (double)(now.got_ns[i] - before.got_ns[i]) /
				      (double)(now.at_ns - before.at_ns);
		before = now;
		if (n + 1 == KILL_AT)
			contest_kill(c, 1);
		if (n + 1 == END_AT)
			contest_expire(c, 2);
	}
}

static void measure(struct bench *b, enum mode mode)
{
	static course shares[MODES];
	struct contest *c = contest_begin(b, plotted, PLOTTED, mode);

	follow(c, shares[mode]);
	contest_end(c);
	if (mode == MODES - 1) {
		CLEANUP(free_ptr) char *path = result_path(b, "chronos-shares.svg");
		draw(path, shares);
	}
}

static void check(struct bench *b)
{
	if (!b->results)
		die("draw the plot", "say where to: --results FOLDER");
}

const struct group plot_group = { .name = "plot",
	.what = "the plot of shares over time, once",
	.modes = { [COOPERATIVE] = true, [ARBITRATED] = true },
	.once = true,
	.check = check,
	.measure = measure };

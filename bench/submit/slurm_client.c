/* slurm_client.c - submits N held jobs to Slurm through libslurm, one after the other. */
/* SPDX-License-Identifier: Apache-2.0 */
#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdio.h>
#include <stdlib.h>

extern char **environ;

static void submit(void)
{
	static char *environment[] = { "PATH=/usr/bin:/bin", NULL };
	submit_response_msg_t *answer = NULL;
	job_desc_msg_t job;

	slurm_init_job_desc_msg(&job);
	job.name = "bench";
	job.script = "#!/bin/sh\nexec /bin/true\n";
	job.environment = environment;
	job.env_size = 1;
	job.work_dir = "/tmp";
	job.std_out = job.std_err = "/dev/null";
	job.user_id = job.group_id = 0;
	job.min_nodes = job.max_nodes = job.num_tasks = 1;
	job.priority = 0; /* held */
	if (slurm_submit_batch_job(&job, &answer) != SLURM_SUCCESS) {
		fprintf(stderr, "slurm_client: %s\n", slurm_strerror(slurm_get_errno()));
		exit(1);
	}
	slurm_free_submit_response_response_msg(answer);
}

int main(int argc, char **argv)
{
	long jobs = argc == 2 ? strtol(argv[1], NULL, 10) : 0;

	slurm_init(NULL);
	for (long i = 0; i < jobs; i++)
		submit();
	slurm_fini();
	return 0;
}

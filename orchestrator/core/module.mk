# core - decides everything: job life cycle, scheduling, leases, cancellation; no I/O, no clock.
core_SRCS := job_state.c job.c record.c submission.c requirement_line.c core.c life.c report.c \
  hello.c fleet.c scheduler.c explain.c drain.c gate.c view.c queue.c timer.c
core_USES := base
$(eval $(call module,core,orchestrator/core))

test_core_USES := core_driver core base
$(eval $(call unit_test,test_core))

test_job_state_USES := core base
$(eval $(call unit_test,test_job_state))

test_submission_USES := core base
$(eval $(call unit_test,test_submission))

test_scheduler_USES := core_driver core base
$(eval $(call unit_test,test_scheduler))

test_explain_USES := core_driver core base
$(eval $(call unit_test,test_explain))

test_drain_USES := core_driver core base
$(eval $(call unit_test,test_drain))

# cli - cumulus, the command line; everything but main.c is a library, for its unit tests.
cli_SRCS := exit_code.c options.c commands.c config.c text.c terminal.c json.c input.c \
  requirements.c bundle.c submission.c upload.c remote.c narrator.c follow.c keys.c watch.c \
  job_filter.c job_table.c pool.c completion.c completion_scripts.c command_run.c command_ps.c \
  command_status.c command_explain.c command_cancel.c command_logs.c command_workers.c \
  command_top.c command_doctor.c command_system.c command_dev.c
cli_USES := wire proto base
cli_PKGS := libuv libprotobuf-c libzip jansson libcrypto
$(eval $(call module,cli,cli))

cumulus_SRCS := main.c
cumulus_USES := cli wire proto base
cumulus_PKGS := libuv libprotobuf-c
$(eval $(call program,cumulus,cli))

test_cli_options_USES := cli wire proto base
$(eval $(call unit_test,test_cli_options))

test_cli_bundle_USES := cli base
test_cli_bundle_PKGS := libzip
$(eval $(call unit_test,test_cli_bundle))

test_cli_text_USES := cli wire proto base
test_cli_text_PKGS := jansson
$(eval $(call unit_test,test_cli_text))

# store - what cumulusd keeps: jobs in SQLite, packages, and its own copy of outputs.
store_SRCS := store.c writes.c question.c page.c rows.c history.c backup.c packages.c labels.c reserve.c schema.c \
  sql.c db.c files.c output.c upload.c
store_USES := core base
store_PKGS := sqlite3
$(eval $(call module,store,orchestrator/store))

test_store_USES := store core base
$(eval $(call unit_test,test_store))

test_store_faults_USES := store core base
$(eval $(call unit_test,test_store_faults))

test_output_USES := store core base
$(eval $(call unit_test,test_output))

test_store_power_USES := store core base
$(eval $(call unit_test,test_store_power))

test_backup_USES := store core base
test_backup_PKGS := sqlite3
$(eval $(call unit_test,test_backup))

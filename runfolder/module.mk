# frame - framed output, for whoever reads it; runfolder - a whole run folder, for worker and runner.
frame_SRCS := crc32c.c frame.c
$(eval $(call module,frame,runfolder))

runfolder_SRCS := folder.c runlog.c output.c report.c
runfolder_USES := frame proto base
$(eval $(call module,runfolder,runfolder))

test_frame_USES := frame
$(eval $(call unit_test,test_frame))

test_runfolder_USES := runfolder frame proto base
$(eval $(call unit_test,test_runfolder))

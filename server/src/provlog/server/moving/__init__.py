"""Logs that move: whole ones to a folder and back, mirrors of them, backups.

An export is a public part that anybody may read and check (`tree_files`) and a private
side (`private_side`) under a manifest that the log's own secret authenticates
(`manifest`). A mirror is the public part alone, and grows with its log.
"""

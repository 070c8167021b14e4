"""Segments: whom a shop could write to, and who of them may be written to.

A file (`definition_files`) says what is asked; of its segments (`definition`) conditions are parsed
(`parsing`, `conditions`) over values of users (`values`), held against others (`comparison`). They
are compiled to Polars (`compiling`, `comparing`) over frames of values (`value_frames`,
`sequences`, `rankings`, `tower_space`) that see nothing at or after a moment (`tables`), and
asked in an order that joins little (`selecting`). `admission` says who may be written to,
`holdout` who is left alone to measure what it does, `disclosure` which lists tell too much.
"""

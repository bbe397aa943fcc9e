"""Feeds: data sets, written as events a stream can be fed with."""

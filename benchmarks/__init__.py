"""What the project measures of itself: quality of segments, speed and size."""

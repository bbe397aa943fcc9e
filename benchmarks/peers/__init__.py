"""What the end-to-end path is compared with, each a process of its own."""

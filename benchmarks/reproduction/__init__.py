"""Five published batch studies, recomputed from their data and corrected.

study             what is said of a study, and the fits its figures come from
streamed          features of events, through the engine
cluster_cart      Online Retail, K = 7
smart_cart        marketing table, "K-Means" with 4 segments
segment_explorer  marketing table, K = 4
coupons           coupon shop, 6 segments
total_value       purchases, K = 5
studies           the five by name
table             the five as text and as a page
"""

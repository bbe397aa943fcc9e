"""The Segment Explorer: pages to look at the segments and to ask what if.

Pages ask the HTTP API and nothing else, so a state directory and Kafka with Redis look the same:

    cli/explore.py ► launch (API on a state, Streamlit) ► app ► pages ► client ► HTTP API
                                                           └► report's figures, cards, wording
"""

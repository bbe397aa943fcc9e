"""The pure core, in the order of the data path.

::

    bytes ► declaration, mapping, rows   a feed's rows to events, by config alone
          ► events                       the contract
          ► columns                      checked, laid out, one row per event
          ► kernel                       event by event, instant by instant, compiled:
              layout, lists                records in memory
              prefetching                  the next row's memory, asked for ahead
              turns, folding               whose minute it is; one event into its record
              vectors                      record ► features ► scaled vector ► nearest centre
              judging                      nearest centre ► policy ► change
          ► partition                    one partition's records and the steps on them
          ► open_panel                   who is in the day's panel, and who has left it
          ► changes                      CloudEvents with ids, reasons and drivers
          ► campaigns                    which of them become a message, and to whom
          ► codec                        records as bytes
          ► purchases                    what a batch bought, as columns, for insights
              purchase_blocks              packed, and merged
    days  ► clusterer, fitting, trainer  the model's life; when k is chosen anew: choosing
          ► portrait, playbook           figures beside all customers; names and what to do
          ► importing, brought           a company's own segments as a model; sent to the trainer
          ► frequent                     purchases of a window read together
              likelihoods, baskets         who buys what, how surely; what is bought together
              coupons, differing           claims that were redeemed; whether groups differ
              place_counts, places         cities and coupons, place_playbook: what to do there
              insights, insights_answer    what each segment buys
          ► tree                         the segments, merged step by step
          ► history, comparing           models as rows, and beside each other

Nothing here reads a clock, a file, the environment or an unseeded random number.
"""

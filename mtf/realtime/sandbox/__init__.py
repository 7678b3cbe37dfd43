"""A local stand-in for the exchange Bybit: REST v5 and public websockets on 127.0.0.1.

It speaks to pybit's own clients, serves recorded or made-up candles at any speed, and injects
faults on request. It fills no orders.
"""

"""Writes a spreadsheet as other programs do, by Debian's openpyxl or xlwt.

workbook.py xlsx|xls FILE, with rows as JSON on standard input. A text that begins
with "t:" becomes a date.
"""

import datetime
import json
import sys

kind, path = sys.argv[1:]
rows = json.load(sys.stdin)


def value(cell):
    if isinstance(cell, str) and cell.startswith("t:"):
        return datetime.datetime.fromisoformat(cell[2:])
    return cell


rows = [[value(cell) for cell in row] for row in rows]
if kind == "xlsx":
    import openpyxl

    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    book.save(path)
else:
    import xlwt

    book = xlwt.Workbook()
    sheet = book.add_sheet("data")
    dates = xlwt.easyxf(num_format_str="YYYY-MM-DD HH:MM:SS")
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if isinstance(cell, datetime.datetime):
                sheet.write(y, x, cell, dates)
            elif cell is not None:
                sheet.write(y, x, cell)
    book.save(path)

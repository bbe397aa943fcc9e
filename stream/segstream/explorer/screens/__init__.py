"""One module per page; each has `page(api)`, which draws it from the API's answers.

Not called `pages`: Streamlit would make a second navigation out of such a folder.
"""

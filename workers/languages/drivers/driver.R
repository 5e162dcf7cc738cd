# Runs an analyst's R code in the global environment: its values as data, its errors with its own line numbers.
# It is read before it is run: the last line alone is left to a process that has read all else.
delayedAssign(".driver", {
  rm(.driver, envir = globalenv())
  local({
    space <- commandArgs(trailingOnly = TRUE)[[1]]

    decode <- function(text) {
      plain <- utils::URLdecode(text)
      Encoding(plain) <- "UTF-8"
      plain
    }
    typed <- function(kind, text, flag) {
      switch(kind,
        integer = as.integer(text), numeric = as.numeric(text), logical = as.logical(text), nothing = NULL,
        flagged = structure(list(text), names = flag),
        "text file" = file(text, "r"), "binary file" = file(text, "rb"), output = file(text, "wb"), text
      )
    }
    give <- function(lists, line) {
      part <- strsplit(line, "\t", fixed = TRUE)[[1]]
      value <- list(typed(part[3], decode(part[4]), decode(substring(part[5], 2))))
      lists[[part[1]]][decode(part[2])] <- value
      lists
    }

    empty <- list(inputs = list(), outputs = list(), params = list(), names = list(), files = list())
    lists <- Reduce(give, readLines(file.path(space, "values.tsv")), empty)

    for (name in c("inputs", "outputs", "params")) assign(name, lists[[name]], envir = globalenv())
    for (each in c(lists["names"], lists["files"])) {
      for (name in names(each)) assign(name, each[[name]], envir = globalenv())
    }

    # Whatever way the code ends: what it wrote to O1 is there, and an O1 that it left empty is not.
    opened <- new.env()
    opened$files <- lists$files
    opened$paths <- vapply(lists$files, function(each) file.path(getwd(), summary(each)$description), "")
    reg.finalizer(opened, onexit = TRUE, function(opened) {
      for (each in opened$files) tryCatch(close(each), error = function(wrong) NULL)
      outputs <- opened$paths[grepl("^O", names(opened$paths))]
      unlink(outputs[file.size(outputs) %in% 0])
    })

    options(warn = 1, keep.source = TRUE)
    lines <- readLines(file.path(space, "task.R"), encoding = "UTF-8", warn = FALSE)
    file <- srcfilecopy("task.R", lines)
    code <- tryCatch(
      parse(text = lines, srcfile = file, keep.source = TRUE),
      error = function(wrong) {
        cat("Error: ", conditionMessage(wrong), "\n", sep = "", file = stderr())
        quit(save = "no", status = 1)
      }
    )
    places <- attr(code, "srcref")

    line_of <- function(calls, current) {
      for (call in rev(calls)) {
        place <- attr(call, "srcref")
        if (!is.null(place) && identical(attr(place, "srcfile"), file)) return(place[1])
      }
      places[[current]][1]
    }
    fail <- function(wrong, current) {
      where <- conditionCall(wrong)
      own <- is.null(where) || identical(where[[1]], quote(eval))
      inside <- if (own) "" else paste0(" in ", deparse(where, nlines = 1)[1])
      line <- line_of(sys.calls(), current)
      cat("Error", inside, " (task.R, line ", line, "): ", conditionMessage(wrong), "\n", sep = "", file = stderr())
      quit(save = "no", status = 1)
    }
    for (current in seq_along(code)) {
      withCallingHandlers(
        {
          result <- withVisible(eval(code[[current]], globalenv()))
          if (result$visible) print(result$value)
        },
        error = function(wrong) fail(wrong, current)
      )
    }
  })
})
invisible(.driver)

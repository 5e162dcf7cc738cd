# Body mass explained by flipper length and species: the coefficient table and a plot of the fit.

penguins <- read.csv(inputs[[".clean.csv"]], stringsAsFactors = TRUE)
fit <- lm(body_mass_g ~ flipper_length_mm + species, data = penguins)

estimates <- coef(summary(fit))
exact <- matrix(sprintf("%.17g", estimates), nrow = nrow(estimates))
colnames(exact) <- c("estimate", "std_error", "t_value", "p_value")
table <- cbind(term = rownames(estimates), exact)
write.csv(table, outputs[[".coefficients.csv"]], row.names = FALSE, quote = FALSE)

species <- levels(penguins$species)
colours <- rep_len(c("#D55E00", "#0072B2", "#009E73", "#CC79A7"), length(species))
shapes <- rep_len(c(19, 17, 15, 18), length(species))

png(outputs[[".png"]], width = 1600, height = 1100, res = 180, type = "cairo")
par(mar = c(4.5, 5.5, 3.5, 1), las = 1, mgp = c(3.8, 0.7, 0), tcl = -0.3, col.axis = "grey30")

plot(body_mass_g ~ flipper_length_mm, data = penguins, type = "n", bty = "n", xlab = "", ylab = "Body mass (g)")
grid(col = "grey88", lty = 1)
title(main = params$title, adj = 0, cex.main = 1.3)
title(xlab = "Flipper length (mm)", line = 2.6)

points(body_mass_g ~ flipper_length_mm, data = penguins,
       col = adjustcolor(colours[species], 0.6), pch = shapes[species])
for (i in seq_along(species)) {
  reach <- range(penguins$flipper_length_mm[penguins$species == species[i]])
  ends <- data.frame(flipper_length_mm = reach, species = species[i])
  lines(reach, predict(fit, ends), col = colours[i], lwd = 3)
}
legend("topleft", species, col = colours, pch = shapes, lwd = 3, bty = "n", inset = 0.02)
invisible(dev.off())

print(summary(fit))

"""Running the explainers of other libraries: captum, shap, lime."""

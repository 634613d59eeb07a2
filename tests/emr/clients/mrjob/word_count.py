from operator import add

from mrjob.job import MRJob


class WordCount(MRJob):
    def spark(self, input_path, output_path):
        from pyspark import SparkContext

        sc = SparkContext(appName="word count")
        words = sc.textFile(input_path).flatMap(str.split)
        words.map(lambda word: (word, 1)).reduceByKey(add).map(
            lambda pair: "{} {}".format(*pair)
        ).saveAsTextFile(output_path)
        sc.stop()


if __name__ == "__main__":
    WordCount.run()

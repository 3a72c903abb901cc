package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func handle(_ context.Context, request events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	name := request.PathParameters["name"]
	text := fmt.Sprintf("%s, %s, from Go", os.Getenv("GREETING"), name)
	fmt.Println(text)
	return events.APIGatewayV2HTTPResponse{StatusCode: 200, Body: text}, nil
}

func main() {
	lambda.Start(handle)
}
